/* For ThreadSanitizer, by LD_PRELOAD: librdkafka uses C11 threads, which the sanitizer of gcc 12 does not intercept (it
 * crashes in the first thread). Here they are what they are inside glibc, POSIX threads, which it knows. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

typedef struct Start {
    thrd_start_t fn;
    void *arg;
} Start;

static void *run(void *arg)
{
    Start start = *(Start *)arg;
    free(arg);
    return (void *)(intptr_t)start.fn(start.arg);
}

static int outcome(int error)
{
    return error ? thrd_error : thrd_success;
}

int thrd_create(thrd_t *ret, thrd_start_t fn, void *arg)
{
    Start *start = malloc(sizeof(*start));
    *start = (Start){fn, arg};
    return outcome(pthread_create(ret, NULL, run, start));
}

int thrd_join(thrd_t thread, int *ret)
{
    void *value = NULL;
    int error = pthread_join(thread, &value);
    if (ret)
        *ret = (int)(intptr_t)value;
    return outcome(error);
}

int mtx_init(mtx_t *m, int type)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    return outcome(pthread_mutex_init((pthread_mutex_t *)m, &attributes));
}

int mtx_lock(mtx_t *m)
{
    return outcome(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_trylock(mtx_t *m)
{
    return pthread_mutex_trylock((pthread_mutex_t *)m) ? thrd_busy : thrd_success;
}

int mtx_unlock(mtx_t *m)
{
    return outcome(pthread_mutex_unlock((pthread_mutex_t *)m));
}

void mtx_destroy(mtx_t *m)
{
    pthread_mutex_destroy((pthread_mutex_t *)m);
}

int cnd_init(cnd_t *c)
{
    return outcome(pthread_cond_init((pthread_cond_t *)c, NULL));
}

int cnd_signal(cnd_t *c)
{
    return outcome(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
    return outcome(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
    return outcome(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until)
{
    int error = pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until);
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

void cnd_destroy(cnd_t *c)
{
    pthread_cond_destroy((pthread_cond_t *)c);
}
