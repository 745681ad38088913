"""The official clients of OpenAI against a real server: their own tests, and the JavaScript one.

Neither is kept here. What is pinned by its hash in ``sdist.lock`` and ``js/package-lock.json`` comes through pip and npm when
it is first needed, into a folder that git ignores.
"""
