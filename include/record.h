/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records: how the guest tells the host what it measured.
 *
 * One record is one line on a virtio-serial port of its own:
 *
 *	SHC1 <seq> <len> <crc32> <payload>\n
 *
 * seq counts from 0 without a gap, len is the payload's length in bytes (decimal), crc32 is zlib's over the payload
 * (8 lower-case hex digits), payload is one JSON object without a newline. A line that does not satisfy all of that
 * makes the whole boot invalid: half a measurement is none.
 *
 * Every payload has "t", its type:
 *
 *   hello    {"t":"hello","proto":1,"release":"6.12.0","version":"#1 SMP ...","cpus":2,"mem_kb":N,"clocksource":"tsc"}
 *            always first
 *   progress {"t":"progress","done":3,"total":10,"what":"cloning"}           also proves that the guest is alive
 *   info     {"t":"info","k":"image_files","v":"412"}                        facts, never compared
 *   sample   {"t":"sample","m":"unique_frames","v":123.0,"x":{"n":"10","access":"mmap"}}
 *            one value of one metric at the coordinates x (strings); raw, never averaged by the guest
 *   hist     {"t":"hist","m":"fault","x":{...},"h":{HISTOGRAM}}              see hist.h
 *   check    {"t":"check","name":"oracles-agree","ok":true,"detail":"..."}   one failed check invalidates the boot;
 *            with "skip":true it cannot be carried out there, and the detail says why
 *   blob     {"t":"blob","k":"fio","x":{...},"v":{any JSON}}                 another program's own JSON
 *   result   {"t":"result","status":"pass|fail|skip","why":"..."}            the workload's own verdict, once
 *   done     {"t":"done","records":N}                                        always last; N counts the records before it
 *
 * Success is a "result" of status pass followed by a "done" with the right count. Nothing else is.
 */
#ifndef SHCACHE_RECORD_H
#define SHCACHE_RECORD_H

#include <stddef.h>

#define REC_MAGIC	"SHC1"
#define REC_PROTO	1
/* Longest payload. fio's JSON is the largest thing that travels. */
#define REC_MAX		(4u << 20)
/* Room for everything in a line that is not the payload, including the newline and a terminating NUL. */
#define REC_OVERHEAD	64
/* Names of the virtio-serial ports: records go guest to host. */
#define REC_PORT	"org.shcache.records"

/*
 * Frames payload[0..len) as record number seq into dst[0..cap).
 * Returns the number of bytes written (no NUL is counted) or -ENOSPC, -EINVAL (newline or NUL in the payload, too long).
 */
int rec_frame(char *dst, size_t cap, unsigned long seq, const char *payload, size_t len);

/*
 * Checks one line (without its newline) against the format and the expected sequence number.
 * On success *payload points into line and *plen is its length. Returns 0, -EPROTO (not a record), -EBADMSG (length or
 * checksum), -EILSEQ (sequence); *why, if not NULL, is set to a constant text that says what is wrong.
 */
int rec_parse(const char *line, size_t len, unsigned long seq, const char **payload, size_t *plen, const char **why);

#endif
