"""A few of Kafka's requests by hand, so that the tests see a broker with other eyes than the programs under test: make a
topic with settings of our choice, read its partitions and settings. Versions without tagged fields, which Apache Kafka
2.4 to 4.x answer."""
import socket
import struct

CREATE_TOPICS, DESCRIBE_CONFIGS, METADATA = (19, 4), (32, 1), (3, 5)
TOPIC = 2 # the resource type of DescribeConfigs


def text(s):
    data = s.encode()
    return struct.pack(">h", len(data)) + data


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        size = self.number("h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def array(self, item):
        return [item() for _ in range(self.number("i"))]


class Broker:
    def __init__(self, address):
        host, port = address.split(",")[0].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def ask(self, request, body):
        message = struct.pack(">hhih", *request, 7, -1) + body # correlation id, no client id
        self.socket.sendall(struct.pack(">i", len(message)) + message)
        reader = Reader(self.read(struct.unpack(">i", self.read(4))[0]))
        assert reader.number("i") == 7, "not the answer to this request"
        return reader

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            assert more, "the broker closed the connection"
            data += more
        return data

    def create(self, name, partitions, settings):
        pairs = b"".join(text(k) + text(v) for k, v in settings.items())
        answer = self.ask(CREATE_TOPICS, struct.pack(">i", 1) + text(name) + struct.pack(">ihi", partitions, 1, 0)
                          + struct.pack(">i", len(settings)) + pairs + struct.pack(">ib", 30000, 0))
        answer.number("i") # throttle time
        errors = answer.array(lambda: (answer.text(), answer.number("h"), answer.text()))
        assert errors == [(name, 0, None)], errors

    def partitions(self):
        """{topic: number of partitions} of all topics."""
        answer = self.ask(METADATA, struct.pack(">ib", -1, 0))
        answer.number("i")
        answer.array(lambda: (answer.number("i"), answer.text(), answer.number("i"), answer.text())) # brokers
        answer.text(), answer.number("i") # cluster id, controller

        def partition():
            answer.number("h"), answer.number("i"), answer.number("i")
            return [answer.array(lambda: answer.number("i")) for _ in range(3)]

        topics = answer.array(lambda: (answer.number("h"), answer.text(), answer.number("b"), answer.array(partition)))
        return {name: len(parts) for error, name, _, parts in topics if error == 0}

    def settings(self, name):
        """{setting: (value, set for this topic)}"""
        answer = self.ask(DESCRIBE_CONFIGS, struct.pack(">ib", 1, TOPIC) + text(name) + struct.pack(">ib", -1, 0))
        answer.number("i")

        def entry():
            key, value = answer.text(), answer.text()
            _, source, _ = answer.number("b"), answer.number("b"), answer.number("b")
            answer.array(lambda: (answer.text(), answer.text(), answer.number("b"))) # synonyms
            return key, (value, source == 1)

        (found,) = answer.array(lambda: (answer.number("h"), answer.text(), answer.number("b"), answer.text(),
                                         answer.array(entry)))
        assert found[0] == 0, found
        return dict(found[4])
