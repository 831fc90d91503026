"""An emulated Speck: registers in, events in, events out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import attrs

from hal.device import Device, Reset
from hal.errors import DoesNotFitError
from hal.fit import FitReport
from hal.intake import Batch, Checked
from hal.mapping import Mapping
from hal.probes import recorded_events
from hal.recorder import MemoryRecorder, Recorder
from hal.recording import BatchRecording, Recording
from hal_dynapcnn import routing
from hal_dynapcnn.options import SpeckOpenOptions
from hal_dynapcnn.player import Player


class SpeckDevice(Device):
    """Asynchronous cores that hand events on to each other; see `SpeckOpenOptions` for how fast they are."""

    options: SpeckOpenOptions
    _player: Player

    def _load(self, mapping: Mapping) -> None:
        refused = routing.refusals(mapping.config)
        if refused:
            raise DoesNotFitError(FitReport(device=self.spec.name, findings=tuple(refused)))
        self._player = Player(mapping, self.options, recorded_events(mapping))

    def _reset(self, mode: Reset) -> None:
        self._player.reset()

    def _run(self, stimulus: Checked, duration_ns: int, recorder: Recorder) -> None:
        self._player.run(stimulus, duration_ns, recorder)

    def _run_batch(self, stimulus: Batch, duration_ns: int, workers: int) -> BatchRecording:
        """Samples side by side, each worker with a chip of its own."""
        header = self._header(duration_ns, next(iter(stimulus)))
        recorded = recorded_events(self.mapping)
        free: SimpleQueue[Player] = SimpleQueue()
        for _ in range(min(workers, len(stimulus))):
            free.put(Player(self.mapping, self.options, recorded))

        def play(b: int, sample: Checked) -> tuple[Recording, Player | None]:
            player = free.get()
            last = b == len(stimulus) - 1
            try:
                player.reset()
                recorder = MemoryRecorder()
                recorder.start(attrs.evolve(header, run=header.run + b, t0_ns=0, stimulus=dict(sample)))
                self._emit_inputs(sample, recorder)
                player.run(sample, duration_ns, recorder)
                # the last sample's state is the one the loop would have left
                return recorder.finish("ok"), player if last else None
            finally:
                if not last:
                    free.put(player)

        with ThreadPoolExecutor(workers) as pool:
            done = list(pool.map(play, range(len(stimulus)), stimulus))
        self._player = done[-1][1] or self._player
        return BatchRecording.of([recording for recording, _ in done])
