"""Asking whether a lock is held never takes it from anybody."""

import threading

from filelock import FileLock

from desktop.core.held_lock import is_held


def test_a_held_lock_is_seen_and_a_free_or_missing_one_is_not(tmp_path):
    path = tmp_path / "lock"
    assert not is_held(path)
    with FileLock(path):
        assert is_held(path)
    assert path.exists()
    assert not is_held(path)


def test_two_who_ask_at_once_do_not_see_each_other(tmp_path):
    path = tmp_path / "lock"
    with FileLock(path):
        pass
    seen: list[bool] = []

    def ask() -> None:
        seen.extend(is_held(path) for _ in range(300))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False] * 900


def test_asking_all_the_time_does_not_keep_a_worker_from_its_lock(tmp_path):
    path = tmp_path / "lock"
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            is_held(path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(20):
            with FileLock(path).acquire(timeout=1):
                pass
    finally:
        done.set()
        thread.join()
