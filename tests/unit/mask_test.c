/* mask_command(): what is hidden, what stays, and that hostile text is handled. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"
#include "base/mask.h"
#include "base/time.h"

typedef struct Case {
    const char *command, *shown;
} Case;

static void check(const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cleanup(buf_free) Buf out = {0};
        mask_command(&out, str_from(cases[i].command));
        cr_expect_str_eq(out.data, cases[i].shown, "%s\n  gives %s\n  want  %s", cases[i].command, out.data,
                         cases[i].shown);
    }
}

Test(mask, what_a_command_is_given)
{
    static const Case cases[] = {
        {"wget http://bob:s3cret@198.51.100.7/x.sh", "wget http://bob:***@198.51.100.7/x.sh"},
        {"wget \"ftp://u:p@h/a\" && curl https://a:b@h?x=1", "wget \"ftp://u:***@h/a\" && curl https://a:***@h?x=1"},
        {"mysql -uroot -phunter2 -e 'show tables'", "mysql -uroot -p*** -e 'show tables'"},
        {"/usr/bin/mysqldump -p'a b' db", "/usr/bin/mysqldump -p*** db"},
        {"mysql --password=x1 db", "mysql --password=*** db"},
        {"mysql --password x1 db", "mysql --password *** db"},
        {"sshpass -p hunter2 ssh root@h", "sshpass -p *** ssh root@h"},
        {"sshpass -phunter2 ssh -p 22 h", "sshpass -p*** ssh -p 22 h"},
        {"sudo sshpass -p 'hunter 2' ssh h", "sudo sshpass -p '***' ssh h"},
        {"curl -u admin:pw http://h/", "curl -u admin:*** http://h/"},
        {"curl --user \"admin:pw\" http://h/", "curl --user \"admin:***\" http://h/"},
        {"wget --http-password=pw --user=bob h", "wget --http-password=*** --user=bob h"},
        {"redis-cli -h h -a pw config set dir /root", "redis-cli -h h -a *** config set dir /root"},
        {"smbclient -U 'bob%pw' //h/c", "smbclient -U 'bob%***' //h/c"},
        {"PGPASSWORD=pw psql -h h", "PGPASSWORD=*** psql -h h"},
        {"export MYSQL_PWD=pw; mysql", "export MYSQL_PWD=***; mysql"},
        {"curl -d 'user=a&password=pw&x=1' h", "curl -d 'user=a&password=***&x=1' h"},
        {"curl -d '{\"password\":\"pw\",\"a\":1}' h", "curl -d '{\"password\":\"***\",\"a\":1}' h"},
        {"curl -d '{\"password\": \"pw\", \"a\": 1}' h", "curl -d '{\"password\": \"***\", \"a\": 1}' h"},
        {"openssl enc -aes-256-cbc -pass pass:pw -in x", "openssl enc -aes-256-cbc -pass pass:*** -in x"},
    };
    check(cases, ARRAY_SIZE(cases));
}

Test(mask, what_is_piped_into_a_command)
{
    static const Case cases[] = {
        {"echo root:x9|chpasswd", "echo root:***|chpasswd"},
        {"echo \"root:x9\"|chpasswd|bash", "echo \"root:***\"|chpasswd|bash"},
        {"echo -e 'root:a\\nbob:b' | /usr/sbin/chpasswd", "echo -e 'root:***' | /usr/sbin/chpasswd"},
        {"cd /tmp; echo hi; echo root:x | sudo chpasswd", "cd /tmp; echo hi; echo root:*** | sudo chpasswd"},
        {"echo -e \"old\\nnew\\nnew\"|passwd|bash", "echo -e \"***\"|passwd|bash"},
        {"printf 'a\\na\\n' | passwd bob", "printf '***' | passwd bob"},
        {"(echo pw; echo pw) | passwd root", "(echo ***; echo ***) | passwd root"},
        {"echo pw | tr a b | passwd", "echo *** | tr a b | passwd"},
        {"echo pw | sudo -S id", "echo *** | sudo -S id"},
        {"echo pw | su root", "echo *** | su root"},
        {"passwd bob <<< 'a\\na'", "passwd bob <<< '***'"},
        {"chpasswd <<EOF\nroot:pw\nbob:pw2\nEOF\nid", "chpasswd <<EOF\nroot:***\nbob:***\nEOF\nid"},
        {"sh -c 'echo root:pw | chpasswd'", "sh -c 'echo root:*** | chpasswd'"},
        {"cat /etc/passwd | head", "cat /etc/passwd | head"},
        {"echo hello | tee /etc/passwd", "echo hello | tee /etc/passwd"},
        {"echo ok; passwd", "echo ok; passwd"},
    };
    check(cases, ARRAY_SIZE(cases));
}

Test(mask, headers_and_cookies)
{
    static const Case cases[] = {
        {"curl -H 'Authorization: Bearer abc.def' h", "curl -H 'Authorization: ***' h"},
        {"curl -H \"Cookie: a=b; c=d\" h/x", "curl -H \"Cookie: ***\" h/x"},
        {"curl -b 'sid=1' h", "curl -b '***' h"},
        {"curl -H X-Api-Key:abc h", "curl -H X-Api-Key:*** h"},
        {"wget --header='Authorization:Basic eHg6eXk=' h", "wget --header='Authorization:***' h"},
    };
    check(cases, ARRAY_SIZE(cases));
}

Test(mask, what_is_no_secret_stays)
{
    static const Case cases[] = {
        {"", ""},
        {"uname -a; nproc", "uname -a; nproc"},
        {"mysql -p db", "mysql -p db"},
        {"ssh -p 2222 bob@h", "ssh -p 2222 bob@h"},
        {"cd $PWD && export PWD=/tmp", "cd $PWD && export PWD=/tmp"},
        {"wget http://h:8080/a@b", "wget http://h:8080/a@b"},
        {"curl -u admin http://h", "curl -u admin http://h"},
        {"grep \"it's\" f 2>&1 | wc -l", "grep \"it's\" f 2>&1 | wc -l"},
        {"echo don't stop; id", "echo don't stop; id"},
        {"  leading\tand trailing  ", "  leading\tand trailing  "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(buf_free) Buf out = {0};
        mask_command(&out, str_from(cases[i].command));
        cr_expect_str_eq(buf_str(&out).data, cases[i].shown, "%s gives %s", cases[i].command, buf_str(&out).data);
    }
}

/* Text of the greatest length made of what a scanner stumbles over: it ends, keeps every byte that is no secret, and
 * does not take long. */
Test(mask, hostile_text, .timeout = 60)
{
    static const char *const pieces[] = {
        "'",   "\"",      "\\",         "(",           ")|passwd|",    "|passwd",  "a=",       "password=",
        "://", "echo '",  "<<A;passwd", "\\\"",        "`$(",          "\xff\xfe", "\"'\"'",   "echo a|su;",
        "-p ", "://a:b@", "cookie:",    "passwd<<A\n", "passwd <<A\n", "echo ",    "\"\"\"\"", "(((("};

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        cleanup(buf_free) Buf in = {0}, out = {0};
        while (in.len < LIMIT_COMMAND_BYTES)
            buf_add(&in, pieces[i]);
        buf_add(&in, "|su");
        int64_t start_us = clock_monotonic_us();
        mask_command(&out, buf_str(&in));
        int64_t took_us = clock_monotonic_us() - start_us;
        cr_expect_gt(out.len, 0, "nothing came out of %s", pieces[i]);
        cr_expect_lt(took_us, US_PER_S, "%s took %lld us", pieces[i], (long long)took_us);
    }
    cleanup(buf_free) Buf nul = {0};
    mask_command(&nul, (Str){"a\0 echo b:c|chpasswd", 20});
    cr_expect_eq(nul.len, 22);
    cr_expect_eq(memcmp(nul.data, "a\0 echo b:***|chpasswd", 22), 0);
}
