"""Seeds that once showed a fault, with a word on what it was.

A seed means something else as soon as a replica asks its store for other things, or the world asks the dice for more. Then
it is one seed among many, until somebody finds another that shows the same.
"""

CORPUS = {
    7: "a message is cancelled while it waits behind another one",
    11: "a replica is stopped and cannot hand over because the store does not answer",
    293: "a replica ends although the last words of a run cannot be stored",
    639: "the store does not answer when a run is taken over and read back",
    823: "the run whose events could not be stored is deleted and new ones are still refused",
    2335: "a run is cancelled after it was given back and before it is taken up",
    3615: "a replica freezes in a pause that comes before a call made elsewhere meanwhile",
    5890: "a replica freezes while the store answers it and wakes when its run has gone on elsewhere",
    209946: "a replica takes up a run of its own before it knows that it had lost it",
}
