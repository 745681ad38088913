"""What this process does about the signals of others."""

from dataclasses import dataclass

from dragoman.application.dispatch import Dispatcher
from dragoman.application.log import LiveLog
from dragoman.ports.signals import Signal


@dataclass(frozen=True, slots=True)
class Hearing:
    """``Hearer``."""

    dispatcher: Dispatcher
    log: LiveLog

    def hear(self, signal: Signal) -> None:
        audience = self.log.audience
        match signal.kind:
            case "claimable":
                self.dispatcher.wake()
            case "asked":
                self.dispatcher.look_at(signal.run_ids)
            case "followed" | "awaited":
                new = audience.heard(signal.kind, signal.sender, signal.run_ids)
                ours = [run_id for run_id in new if self.log.live(run_id) or audience.has_rested(run_id)]
                if ours:
                    self.log.hurry()
                    audience.answer(signal.sender, ours)
            case "grown":
                audience.wake(signal.run_ids)
            case "missed":
                self.dispatcher.wake()
                audience.wake_all()
