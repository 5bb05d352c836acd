"""Brokers that want TLS and a password: worker, ingester and decnetctl work through kafka.* keys alone, and say clearly what
was wrong, never the password. Prints TAP. Certificates and users are made at run time."""
import re
import subprocess
import time

from kafka_support import SAMPLE, Apache, KafkaLab
from lab import TTP_TOPICS, event_ids, expect, run_cases

USER, PASSWORD, STORE = "decnet", "horse9battery7staple", "keystore-secret"
SCRAM_MENDED = (2, 6, 1)
WRONG = "wrong4horse5battery6"


def make_certificates(folder):
    """An authority of our own, and a certificate for 127.0.0.1 in a PKCS#12 store."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "broker.key", "-out", "broker.csr")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san", "-out", "broker.pem")
    openssl("pkcs12", "-export", "-in", "broker.pem", "-inkey", "broker.key", "-certfile", "ca.pem", "-name", "broker",
            "-passout", f"pass:{STORE}", "-out", "broker.p12")


def listeners(ports, folder):
    """Beside the plain listener, by which the tests look on: TLS, passwords over TLS, passwords alone."""
    make_certificates(folder)
    names = ("PLAINTEXT", "CONTROLLER", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
    ends = {name: f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports)}
    return {
        "listeners": ",".join(ends.values()),
        "advertised.listeners": ",".join(end for name, end in ends.items() if name != "CONTROLLER"),
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT," + ",".join(f"{n}:{n}" for n in names if n != "CONTROLLER"),
        "inter.broker.listener.name": "PLAINTEXT", "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
        "ssl.keystore.type": "PKCS12", "ssl.keystore.location": folder / "broker.p12", "ssl.keystore.password": STORE,
    } | {f"listener.name.{name}.{mechanism}.sasl.jaas.config":
         f"org.apache.kafka.common.security.{module} required{more};"
         for name in ("sasl_ssl", "sasl_plaintext")
         for mechanism, module, more in (("scram-sha-256", "scram.ScramLoginModule", ""),
                                         ("plain", "plain.PlainLoginModule", f' user_{USER}="{PASSWORD}"'))}


class SecureLab(KafkaLab):
    """Programs come through the listener that `through` chose; the tests' own eyes through the plain one."""

    def broker_start(self):
        if not self.n_prefixes:
            self.apache = Apache(self, listeners, 5, [(USER, PASSWORD)])
            self.kafka = self.apache.address
        super().broker_start()

    def through(self, protocol, mechanism=None, password=PASSWORD):
        port = self.apache.ports[("SSL", "SASL_SSL", "SASL_PLAINTEXT").index(protocol.upper()) + 2]
        self.settings = {"DECNET_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
                         "DECNET_KAFKA_SECURITY_PROTOCOL": protocol}
        if "SSL" in protocol.upper():
            self.settings["DECNET_KAFKA_SSL_CA_LOCATION"] = str(self.apache.folder / "ca.pem")
        if mechanism:
            self.settings |= {"DECNET_KAFKA_SASL_MECHANISM": mechanism, "DECNET_KAFKA_SASL_USERNAME": USER,
                              "DECNET_KAFKA_SASL_PASSWORD": password}


lab = SecureLab("security", "made later")
reference = {}


def whole_way(protocol, mechanism=None):
    lab.wipe()
    lab.through(protocol, mechanism)
    checked = lab.ctl("topics", "check", wanted=None)
    expect("attacker.session.ended" in checked.out and "there" in checked.out, "topics check:", checked.out, checked.err)
    lab.ingest(SAMPLE)
    workers = [lab.member() for _ in range(2)]
    lab.wait_shared(workers)
    lab.wait_read(*workers)
    for w in workers:
        w.terminate()
        expect(PASSWORD not in w.err, "the password is in the log")
    lab.worker()
    dump, events = lab.dump(), event_ids(lab.events(*TTP_TOPICS))
    expect(lab.count("ttp_tag") > 100 and len(events) > 100, "tags and events")
    expect(reference.setdefault("dump", dump) == dump and reference.setdefault("events", events) == events,
           "another protocol, another result")


def tls():
    whole_way("ssl")


def password_over_tls():
    whole_way("sasl_ssl", "PLAIN")


def librdkafka():
    """Its release, by which the programs refuse a property that no release has."""
    said = lab.member("--kafka.no.such.property=1").end(None).err
    return tuple(map(int, re.search(r"librdkafka (\d+)\.(\d+)\.(\d+) has no property", said).groups()))


def scram(protocol):
    """Releases before SCRAM_MENDED send a nonce that Apache Kafka accepts no more since 3.7.2 and 3.8.1."""
    if librdkafka() >= SCRAM_MENDED:
        return whole_way(protocol, "SCRAM-SHA-256")
    lab.through(protocol, "SCRAM-SHA-256")
    print(f"# librdkafka {librdkafka()}: must be refused, and must say so")
    refused_as_it_should(PASSWORD)


def scram_over_tls():
    scram("sasl_ssl")


def scram_alone():
    scram("sasl_plaintext")


def nothing_secret(worker, *secrets):
    for secret in secrets:
        expect(secret not in worker.err + worker.out, "a secret is in the log:", worker.err[-3000:])


def refused_as_it_should(*secrets):
    worker = lab.member()
    worker.said("uthentication failed", 20)
    time.sleep(2)
    expect(worker.running(), "the worker ended; a password may be mended on the broker's side:", worker.err[-2000:])
    nothing_secret(worker, *secrets)
    started = time.monotonic()
    worker.terminate()
    expect(time.monotonic() - started <= 6, "it took long to end")
    checked = lab.ctl("topics", "check", wanted=78)
    expect("uthentication failed" in checked.err, "decnetctl:", checked.err)
    nothing_secret(checked, *secrets)


def wrong_password_is_said_and_not_shown():
    lab.through("sasl_ssl", "PLAIN", WRONG)
    refused_as_it_should(WRONG, PASSWORD)


def unknown_authority_is_said():
    lab.through("sasl_ssl", "PLAIN")
    del lab.settings["DECNET_KAFKA_SSL_CA_LOCATION"]
    worker = lab.member()
    worker.said("certificate", 20)
    expect(worker.running(), "the worker ended:", worker.err[-2000:])
    nothing_secret(worker, PASSWORD)
    worker.terminate()


def printed_configuration_hides_the_password():
    lab.through("sasl_ssl", "PLAIN")
    shown = lab.member("--print-config").end()
    expect("sasl.username" in shown.out and USER in shown.out, shown.out)
    nothing_secret(shown, PASSWORD)


run_cases([tls, password_over_tls, scram_over_tls, scram_alone, wrong_password_is_said_and_not_shown, unknown_authority_is_said,
           printed_configuration_hides_the_password])
