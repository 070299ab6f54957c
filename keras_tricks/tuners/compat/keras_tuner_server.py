"""The server of KerasTuner's chief process, made of its private parts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any


@contextlib.contextmanager
def oracle_server(leases: Any) -> Iterator[None]:
    """Answers the requests of KerasTuner's worker processes, in a thread."""
    # Not before there are workers: loading them takes as long as they need.
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute import oracle_chief

    class Servicer(oracle_chief.OracleServicer):
        def CreateTrial(self, request: Any, context: Any) -> Any:
            with leases.lock:
                leases.hear(request.tuner_id)
                response = super().CreateTrial(request, context)
                stopped = response.trial.status == protos.get_proto().STOPPED
                if stopped and self.oracle.ongoing_trials:
                    # One of them may come back.
                    response.trial.status = protos.get_proto().IDLE
                    self.oracle.tuner_ids.add(request.tuner_id)
                elif stopped:
                    leases.has_stopped = True
            if response.trial.status == protos.get_proto().IDLE:
                time.sleep(0.1)  # Workers ask again at once.
            return response

        def GetTrial(self, request: Any, context: Any) -> Any:
            with leases.lock:
                leases.hear_of(request.trial_id)
                return super().GetTrial(request, context)

        def UpdateTrial(self, request: Any, context: Any) -> Any:
            with leases.lock:
                if self.oracle.get_trial(request.trial_id).status == "RUNNING":
                    return super().UpdateTrial(request, context)
                trial = self.oracle.get_trial(request.trial_id).to_proto()
                return protos.get_service().UpdateTrialResponse(trial=trial)

        def EndTrial(self, request: Any, context: Any) -> Any:
            with leases.lock:
                # A worker that was given up for dead may end a trial after another.
                status = self.oracle.get_trial(request.trial.trial_id).status
                if status == "RUNNING":
                    return super().EndTrial(request, context)
                return protos.get_service().EndTrialResponse()

    # One thread: KerasTuner does not let go of a lock in which an error was raised.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = Servicer(leases.oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    address = os.environ["KERASTUNER_ORACLE_IP"]
    server.add_insecure_port(f"{address}:{os.environ['KERASTUNER_ORACLE_PORT']}")
    server.start()
    try:
        yield
    finally:
        server.stop(grace=1).wait()
