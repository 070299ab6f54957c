"""How much memory is free: on any system, and below the limits of containers."""

import types

import psutil
import pytest

from keras_tricks.training.packs import memory

GIB = 2**30


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """`machine(groups, files)` is one with 64 GiB free and these control groups."""

    def make(groups="", files=()):
        # Neither macOS nor Windows has it.
        monkeypatch.delattr("os.sysconf", raising=False)
        monkeypatch.setattr("os.sysconf_names", {}, raising=False)
        free = types.SimpleNamespace(available=64 * GIB, free=1 * GIB)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
        monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(memory, "ALL_GROUPS", tmp_path / "fs")
        if groups:
            memory.OWN_GROUPS.write_text(groups)
        for name, text in dict(files).items():
            file = memory.ALL_GROUPS / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return make


def version_2(folder, limit, current=0, inactive=0):
    stat = f"anon {current}\nfile 5\nactive_file 3\ninactive_file {inactive}\n"
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{current}\n",
        f"{folder}/memory.stat": stat,
    }


def version_1(folder, limit, current=0, inactive=0):
    stat = f"cache 7\ninactive_file 1\ntotal_inactive_file {inactive}\n"
    return {
        f"memory/{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"memory/{folder}/memory.usage_in_bytes": f"{current}\n",
        f"memory/{folder}/memory.stat": stat,
    }


def test_what_is_available_counts_and_not_what_nobody_uses(machine):
    """Files that the system keeps are given up when memory is needed."""
    machine()
    assert memory.available_bytes() == 64 * GIB


def test_the_limit_of_a_container_counts_with_the_files_that_it_can_give_up(machine):
    machine("0::/\n", version_2(".", 8 * GIB, 6 * GIB, 5 * GIB))
    assert memory.available_bytes() == 7 * GIB


def test_the_limit_of_a_slice_counts_for_what_is_in_it(machine):
    """As systemd and Slurm nest them; the job itself has no limit of its own."""
    machine(
        "0::/slurm/job_7/step_0\n",
        version_2("slurm", 32 * GIB, 2 * GIB)
        | version_2("slurm/job_7", 16 * GIB, 4 * GIB, 1 * GIB)
        | version_2("slurm/job_7/step_0", "max", 3 * GIB),
    )
    assert memory.available_bytes() == 13 * GIB


@pytest.mark.parametrize("folder", [".", "docker/abc"])
def test_the_limit_of_the_first_version_counts(machine, folder):
    """Some containers see their own files at the root, others in their place."""
    machine(
        "9:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
        version_1(folder, 4 * GIB, 3 * GIB, 2 * GIB),
    )
    assert memory.available_bytes() == 3 * GIB


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {}),
        ("0::/\n", version_2(".", "max", 5 * GIB)),
        ("4:memory:/a\n", version_1("a", 9223372036854771712, 5 * GIB)),
        ("0::/user.slice/a:b.scope\n", version_2("other.slice", GIB)),
        ("0::/\n", {"memory.max": "1"}),
        ("0::/../../elsewhere\n", {}),
    ],
    ids=["none", "max", "none of version 1", "another's", "no other file", "outside"],
)
def test_without_a_limit_the_computer_s_memory_counts(machine, groups, files):
    machine(groups, files)
    assert memory.available_bytes() == 64 * GIB


def test_a_container_over_its_limit_has_nothing_left(machine):
    machine("0::/\n", version_2(".", GIB, 2 * GIB))
    assert memory.available_bytes() == 0


def test_the_memory_of_this_computer_is_told():
    assert 0 < memory.available_bytes() <= psutil.virtual_memory().total
