"""Clusters: what command lines and environments tell, and what is refused."""

import http.server
import threading

import pytest

from attnjax.config import InputError
from attnjax.train import clusters
from attnjax.train.clusters import Cluster, read_cluster

SLURM = {
    "SLURM_JOB_ID": "12345",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NODELIST": "tpu[003-006]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x4)",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),  # The batch script itself.
        ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),
        (SLURM, Cluster("tpu003:61497", 4, 2)),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, Cluster("tpu003:61497", 4, 2, (0,))),
        (OPEN_MPI, Cluster("10.96.0.1:62624", 2, 1, (1,))),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}, Cluster("a:8476", 2, 1)),
    ],
)
def test_an_environment_tells_of_its_cluster(environment, expected):
    assert read_cluster(environment=environment) == expected


def test_the_command_line_comes_before_the_environment():
    assert read_cluster("h:1", 3, 1, SLURM) == Cluster("h:1", 3, 1)
    assert read_cluster("h:1", environment=SLURM) == Cluster("h:1", 4, 2)
    assert read_cluster(hosts=1, environment=SLURM) is None
    assert read_cluster("h:1", environment={"PMI_SIZE": "3", "PMI_RANK": "2"}) == Cluster("h:1", 3, 2)


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        (("h:1", None, 0), {}, "--coordinator and --host came without --hosts: nothing here tells"),
        ((None, None, None), {"PMI_SIZE": "3"}, "one of 3 processes: expected --coordinator HOST:PORT"),
        (("h", 2, 0), {}, "--coordinator is 'h': expected HOST:PORT of process 0"),
        (("h:99999", 2, 0), {}, "--coordinator is 'h:99999': expected HOST:PORT"),
        (("h:1", 2, 2), {}, "--host is 2: expected a number from 0 to 1"),
        (("h:1", 0, 0), {}, "--hosts is 0: expected the number of processes"),
    ],
)
def test_half_a_cluster_is_refused(given, environment, message):
    with pytest.raises(InputError, match=message):
        read_cluster(*given, environment=environment)


@pytest.fixture
def metadata(monkeypatch):
    """A metadata server of a TPU VM, by its address; it knows what the test puts in."""
    known = {}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            value = known.get(self.path.rpartition("/")[2])
            self.send_response(200 if value and self.headers["Metadata-Flavor"] == "Google" else 404)
            self.end_headers()
            self.wfile.write((value or "").encode())

        def log_message(self, *_):
            pass

    monkeypatch.setattr(clusters, "_on_a_tpu_vm", lambda: True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield known, {"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"}
        server.shutdown()


def test_a_tpu_vm_asks_its_metadata_server(metadata):
    known, environment = metadata
    assert read_cluster(environment=environment) is None
    known["agent-worker-number"] = "1"
    known["worker-network-endpoints"] = "unknown:unknown:10.0.0.2"
    assert read_cluster(environment=environment) is None
    known["worker-network-endpoints"] = "unknown:unknown:10.0.0.2,unknown:unknown:10.0.0.3"
    assert read_cluster(environment=environment) == Cluster("10.0.0.2:8476", 2, 1)


def test_a_machine_without_chips_asks_nobody():
    assert not clusters._on_a_tpu_vm()
