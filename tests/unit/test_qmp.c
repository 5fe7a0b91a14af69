// SPDX-License-Identifier: GPL-2.0
/* The QMP client against the other end of a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp.h"

static struct qmp q;
static int peer;
static struct buf seen;

static void on_event(const char *name, const json_t *data, void *arg)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));

	(void)arg;
	buf_printf(&seen, "%s(%s) ", name, reason ? reason : "");
}

static void on_status(const char *status, void *arg)
{
	(void)arg;
	buf_printf(&seen, "=%s ", status);
}

static void say(const char *text)
{
	assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What the client has sent meanwhile must be this. */
static void assert_sent(const char *text)
{
	char buf[1024];
	ssize_t n = recv(peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	assert_string_equal(buf, text);
}

static int set_up(void **arg)
{
	int pair[2];

	(void)arg;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	q = (struct qmp){ .fd = pair[0], .event = on_event, .status = on_status };
	peer = pair[1];
	buf_str(&seen, "");
	return 0;
}

static int tear_down(void **arg)
{
	(void)arg;
	qmp_close(&q);
	if (peer >= 0)
		close(peer);
	buf_free(&seen);
	return 0;
}

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"

static void greet(void)
{
	say(GREETING);
	assert_int_equal(qmp_read(&q), 0);
	assert_false(q.ready);
	assert_sent("{\"execute\":\"qmp_capabilities\",\"id\":\"hello\"}\r\n");
	say("{\"return\": {}, \"id\": \"hello\"}\r\n");
	assert_int_equal(qmp_read(&q), 0);
	assert_true(q.ready);
}

static void test_session(void **arg)
{
	(void)arg;
	assert_int_equal(qmp_send(&q, "quit", NULL), -ENOTCONN);
	assert_sent("");
	greet();
	say("{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n");
	assert_int_equal(qmp_read(&q), 0);
	assert_string_equal(seen.s, "STOP() ");
	assert_int_equal(qmp_send(&q, "query-status", NULL), 0);
	assert_sent("{\"execute\":\"query-status\",\"id\":\"status\"}\r\n");
	say("{\"return\": {\"status\": \"internal-error\", \"singlestep\": false, \"running\": false}, \"id\": \"status\"}\r\n"
	    "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n");
	assert_int_equal(qmp_read(&q), 0);
	assert_string_equal(seen.s, "STOP() =internal-error SHUTDOWN(guest-reset) ");
	assert_int_equal(qmp_send(&q, "human-monitor-command", "{\"command-line\":\"info cpus\"}"), 0);
	assert_sent("{\"execute\":\"human-monitor-command\",\"id\":\"human-monitor-command\","
		    "\"arguments\":{\"command-line\":\"info cpus\"}}\r\n");
}

/* An answer is known by its id: another command's "status" is not the machine's. */
static void test_refusals_and_strangers(void **arg)
{
	(void)arg;
	greet();
	say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no NMI\"}, \"id\": \"inject-nmi\"}\r\n"
	    "{\"return\": {\"status\": \"completed\"}, \"id\": \"other\"}\r\n"
	    "{\"return\": {\"status\": \"x\"}}\r\n\r\n");
	assert_int_equal(qmp_read(&q), 0);
	assert_string_equal(seen.s, "");
	assert_true(q.ready);
}

/* A refused handshake leaves the client without commands. */
static void test_handshake_refused(void **arg)
{
	(void)arg;
	say(GREETING "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": \"hello\"}\r\n");
	assert_int_equal(qmp_read(&q), 0);
	assert_false(q.ready);
	assert_int_equal(qmp_send(&q, "quit", NULL), -ENOTCONN);
}

static void test_bytewise(void **arg)
{
	static const char text[] = GREETING "{\"return\":{},\"id\":\"hello\"}\n{\"event\":\"WATCHDOG\",\"data\":{\"action\":\"none\"}}\n";

	(void)arg;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(send(peer, text + i, 1, 0), 1);
		assert_int_equal(qmp_read(&q), 0);
	}
	assert_true(q.ready);
	assert_string_equal(seen.s, "WATCHDOG() ");
}

static void test_garbage(void **arg)
{
	(void)arg;
	say("hello there\r\n");
	assert_int_equal(qmp_read(&q), -EPROTO);
}

static void test_not_an_object(void **arg)
{
	(void)arg;
	say("[1, 2]\r\n");
	assert_int_equal(qmp_read(&q), -EPROTO);
}

static void test_endless_line(void **arg)
{
	char block[65536];
	int ret = 0;

	(void)arg;
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 64 && !ret; i++) {
		assert_true(send(peer, block, sizeof(block), MSG_DONTWAIT) > 0);
		ret = qmp_read(&q);
	}
	assert_int_equal(ret, -EPROTO);
}

/* What was said before the end is heard. */
static void test_hang_up(void **arg)
{
	(void)arg;
	greet();
	say("{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-shutdown\"}}\r\n");
	close(peer);
	peer = -1;
	assert_int_equal(qmp_read(&q), -EPIPE);
	assert_string_equal(seen.s, "SHUTDOWN(guest-shutdown) ");
	/* Nobody is there: an error, and no SIGPIPE. */
	assert_int_equal(qmp_send(&q, "quit", NULL), -EPIPE);
	qmp_close(&q);
	assert_int_equal(q.fd, -1);
	assert_int_equal(qmp_send(&q, "quit", NULL), -ENOTCONN);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_session), T(test_refusals_and_strangers), T(test_handshake_refused), T(test_bytewise), T(test_garbage),
		T(test_not_an_object), T(test_endless_line), T(test_hang_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
