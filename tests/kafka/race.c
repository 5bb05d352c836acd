/* A race of the only kind that our programs could have: librdkafka calls back in a thread of its own, as it does with log
 * lines that nobody had put into a queue. Shows that the stage with ThreadSanitizer would see it. */
#include <librdkafka/rdkafka.h>
#include <unistd.h>

static volatile int n_lines; /* changed there, read here, and nothing between: this is what has to be found */

static void count(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    n_lines++;
}

int main(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;

    alarm(30);
    rd_kafka_conf_set(conf, "bootstrap.servers", "127.0.0.1:1", NULL, 0); /* nobody listens: it says so */
    rd_kafka_conf_set_log_cb(conf, count);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    while (rk && n_lines == 0)
        usleep(1000); /* waiting in librdkafka would put its threads and ours in an order */
    return 0;
}
