/* Every bound of the project in one place, with its unit in its name. Attackers write our input: whatever grows with
 * input is bounded here, and whoever hits a bound counts it. */
#pragma once

/* --- events and commands --- */
#define LIMIT_EVENT_BYTES (900 * 1024)         /* one Kafka record value that we write */
#define LIMIT_EVENT_READ_BYTES (1024 * 1024)   /* one that we read; larger: dead letter `oversize` */
#define LIMIT_JSON_DEPTH 32                    /* nesting of any JSON that we parse */
#define LIMIT_COMMAND_BYTES (64 * 1024)        /* one command; longer is cut at a character boundary */
#define LIMIT_EVENT_COMMANDS 10000             /* commands evaluated of one session event */
#define LIMIT_PART_COMMANDS 5000               /* commands in one part of attacker.session.ended */
#define LIMIT_EVENT_TAGS 1000                  /* tags in one ttp.tagged or ttp.rule.fired; more: another part */
#define LIMIT_EVIDENCE_STRING_BYTES (8 * 1024) /* one string in a tag's evidence */
#define LIMIT_EVIDENCE_BYTES (16 * 1024)       /* a tag's evidence, serialised */
#define LIMIT_SOURCE_ID_BYTES 1024             /* ttp_tag.source_id */
#define LIMIT_NAME_BYTES 256                   /* names, users, service, decky: short text of an event */

/* --- the repository's methods --- */
#define LIMIT_REQUEST_BYTES 8388608 /* one request of decnetctl repo, and one file that a parameter is read from */
#define LIMIT_CALL_BYTES 16777216   /* parameters of one call together; more: refused, before PostgreSQL holds them */
#define LIMIT_PAGE_ROWS 10000       /* parameter `limit` of a list; more: refused, as pages are what offset is for */
#define LIMIT_STATE_FILE_MIB 16     /* the deployer's state file */
#define LIMIT_STATE_FILE_BYTES (LIMIT_STATE_FILE_MIB * 1024 * 1024)
#define LIMIT_MUTATION_CLAIM_SECONDS 600 /* a claimed change that is not done by then can be claimed again */

/* --- behaviour --- */
#define LIMIT_PRIMITIVE_BYTES 128                 /* name of a primitive */
#define LIMIT_OBSERVATION_VALUE_BYTES (16 * 1024) /* value of an observation, as jsonb spells it */
#define LIMIT_HASH_VALUES 1000                    /* distinct values of a hash series that are told apart in 24 h */
#define LIMIT_SUSPECT_PRIMITIVES 1000             /* primitives that one suspicion of several hands names */
#define LIMIT_EXTRACT_COMMANDS 100000             /* commands of one session that are looked at for its behaviour */

/* --- batches, queues, outbox --- */
#define LIMIT_BATCH_RECORDS 10000                     /* upper end of the key batch_records */
#define LIMIT_OUTBOX_ROW_BYTES (1024 * 1024)          /* one packed row of event_outbox */
#define LIMIT_OUTBOX_PENDING_BYTES (32 * 1024 * 1024) /* packs published and not yet acknowledged; above: wait */
#define LIMIT_PREFETCH_BYTES (8 * 1024 * 1024)        /* what librdkafka may hold of one topic for us */
#define LIMIT_FETCH_BYTES (1024 * 1024)               /* of one answer, compressed: it comes on top of the prefetch */
#define LIMIT_DEFERRED_BATCH 500                      /* deferred events taken up in one transaction */

/* --- ingest --- */
#define LIMIT_LINE_BYTES (1024 * 1024) /* one log line; longer: skipped and counted */
#define LIMIT_FIELDS_BYTES (64 * 1024) /* logs.fields */
#define LIMIT_PRINCIPAL_CHARS 256
#define LIMIT_SECRET_KIND_CHARS 32
#define LIMIT_SECRET_B64_BYTES 2048
#define LIMIT_SECRET_PRINTABLE_BYTES 512
#define LIMIT_BANNER_BYTES 256
#define LIMIT_URL_BYTES 2048
#define LIMIT_SESSION_ARTIFACTS 100              /* listed in a session's event; the count goes on */
#define LIMIT_SESSION_ARTIFACT_BYTES (64 * 1024) /* what that list adds to an event at the most */
#define LIMIT_SESSION_KEYS 16                    /* offered public keys that a session remembers */
#define LIMIT_SESSION_LOOKBACK 16                /* newest commands among which a failed one is looked for */
#define LIMIT_ATTACKER_COMMANDS 500              /* newest ones kept in attackers.commands */
#define LIMIT_ATTACKER_COMMAND_BYTES 4096        /* text of one of them; the whole is in session_command */
#define LIMIT_ATTACKER_FINGERPRINTS 200          /* oldest dropped */
#define LIMIT_OPEN_SESSIONS 100000               /* sessions in an ingester's memory; above: the idlest are closed */
#define LIMIT_BACKLOG_BYTES (4 * 1024 * 1024) /* unread bytes of a partition of the embedded broker (it keeps 5 MiB) */

/* --- matching --- */
#define LIMIT_PCRE2_MATCH 200000 /* steps of one confirming match */
#define LIMIT_PCRE2_DEPTH 2000
#define LIMIT_PCRE2_HEAP_KIB 1024
#define LIMIT_MEMO_COMMANDS 16384 /* distinct commands whose matches are remembered */
#define LIMIT_MEMO_BYTES (8 * 1024 * 1024)

/* --- messages --- */
#define LIMIT_LOG_FIELD_CHARS 128                 /* one field of a log line: attackers choose some of them */
#define LIMIT_LOG_MESSAGE_BYTES 4096              /* the text of a log line */
#define LIMIT_RULES 10000                         /* rules in one pack */
#define LIMIT_RULE_FILE_BYTES (256 * 1024)        /* one rule file */
#define LIMIT_RULE_PATTERNS 64                    /* alternatives of one rule */
#define LIMIT_RULE_EMITS 64                       /* techniques of one rule */
#define LIMIT_CATALOG_BYTES (16 * 1024 * 1024)    /* the ATT&CK catalogue file */
#define LIMIT_PACK_CACHE_BYTES (64 * 1024 * 1024) /* a compiled pack in the cache */
