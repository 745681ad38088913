"""Seeds that once showed a fault, with a word on what it was."""

CORPUS = {
    7: "a message is cancelled while it waits behind another one",
    1490: "a run begins on a replica that is just being stopped",
    11: "a replica is stopped and cannot hand over because the store does not answer",
    293: "a replica ends although the last words of a run cannot be stored",
    639: "the store does not answer when a run is taken over and read back",
    2335: "a run is cancelled after it was given back and before it is taken up",
    8655: "a replica freezes while the store answers it and wakes when its run has gone on elsewhere",
    823: "the run whose events could not be stored is deleted and new ones are still refused",
}
