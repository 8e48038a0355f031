"""One process of a run: started here, ended by its own pid, gone when this one is."""

import ctypes
import os
import re
import signal
import subprocess
import tempfile
import threading

READY_WITHIN = 90


class Failed(Exception):
    """Why something could not be measured, in one line."""


class Ended(Failed):
    """A program that ended with a failure, and what it had said by then."""

    def __init__(self, why, said):
        super().__init__(why)
        self.said = said


def die_with_parent():
    """Called in the child: it gets SIGTERM when the process that started it is gone, however that ended."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Process:
    """One process, with the address it said it listens on."""

    def __init__(self, argv, ready, log, environment=None, program=None):
        """`program`: of what it starts in turn, the one that is measured and ended."""
        self.argv, self.log = argv, log
        # Out of our process group: a ctrl-c reaches us, and we end the rest in order. A stdin that stays open.
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True, preexec_fn=die_with_parent, env=os.environ | (environment or {}),
        )
        self.pid, self.address = self.process.pid, None
        self._found = threading.Event()
        threading.Thread(target=self._read, args=(re.compile(ready),), daemon=True).start()
        try:
            self._await_ready()
            if program:
                self.pid = descendant(self.process.pid, program)
        except BaseException:
            self.end()
            raise

    def _read(self, ready):
        """Reads all it says, so that it never waits for us."""
        with open(self.log, "w") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                match = ready.search(line)
                if match and self.address is None:
                    self.address = match.group(1)
                    self._found.set()
        self._found.set()

    def _await_ready(self):
        found = self._found.wait(READY_WITHIN)
        if self.address is None:
            why = f"did not listen in {READY_WITHIN} s" if not found else "ended before it listened"
            raise Failed(f"{os.path.basename(self.argv[0])} {why}: see {self.log}")

    def end(self):
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                # It and what it started: they are a session of their own.
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def descendant(pid, program):
    """The process that a process started, or one of those did, and that runs this program."""
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        for child in map(int, children.read().split()):
            with open(f"/proc/{child}/comm") as comm:
                found = child if comm.read().strip() == program else descendant(child, program)
            if found:
                return found
    return None


def run_to_end(argv, log, within):
    """Runs a program; what it wrote to standard output. Fails with the last line it wrote to standard error."""
    # A file, not a pipe: nobody has to read it while it runs.
    with open(log, "w") as errors, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failed(f"took longer than {within} s") from None
        finally:
            if process.poll() is None:
                # It drops its own children on SIGTERM.
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        output.seek(0)
        said = output.read()
    if process.returncode != 0:
        raise Ended(last_line(log) or f"exit {process.returncode}", said)
    return said


def last_line(path):
    """Why it failed: the last line that says so, or the last one."""
    with open(path, errors="replace") as log:
        lines = [line.strip() for line in log if line.strip()]
    return next((line for line in reversed(lines) if line.startswith(("towline", "error"))), lines[-1] if lines else "")
