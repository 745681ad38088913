"""``ports.search.SearchEngine``: a folder of documents, and the search services of the web."""
