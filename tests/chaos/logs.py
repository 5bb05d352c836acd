"""Small invented Cowrie logs for the tests: a session is a few calls, time goes on by itself."""
import json
from datetime import datetime, timedelta, timezone

START = datetime(2026, 5, 10, 8, 0, 0, tzinfo=timezone.utc)


class Log:
    """Lines in the form of Cowrie 3, one sensor."""

    def __init__(self, sensor="edge-01", start=START):
        self.sensor, self.now, self.lines, self.n_sessions = sensor, start, [], 0

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)
        return self

    def add(self, eventid, session, ip, **more):
        self.wait(0.25)
        event = {"eventid": eventid, "session": session, "protocol": "ssh", "src_ip": ip, "sensor": self.sensor,
                 "timestamp": self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} | more
        self.lines.append(json.dumps({k: v for k, v in event.items() if v is not None}))
        return self

    def session_id(self):
        self.n_sessions += 1
        return f"{self.n_sessions:012x}"

    def open(self, ip, session=None, login=("root", "admin"), port=40000):
        session = session or self.session_id()
        self.add("cowrie.session.connect", session, ip, src_port=port, dst_ip="192.0.2.10", dst_port=2222)
        if login:
            self.add("cowrie.login.success", session, ip, username=login[0], password=login[1])
        return session

    def command(self, session, ip, text, **more):
        return self.add("cowrie.command.input", session, ip, input=text, **more)

    def close(self, session, ip):
        return self.add("cowrie.session.closed", session, ip, duration="12.5")

    def session(self, ip, *commands, session=None, login=("root", "admin")):
        """A whole session; returns its name."""
        session = self.open(ip, session, login)
        for text in commands:
            self.command(session, ip, text)
        self.close(session, ip)
        return session

    def bytes(self):
        return "".join(line + "\n" for line in self.lines).encode()
