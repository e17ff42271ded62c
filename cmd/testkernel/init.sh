#!/bin/busybox sh
# The first process of a guest. What the kernel says goes to the first serial
# line, what the tests say to the second.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/net /sys/fs/cgroup /sys/kernel/tracing
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmp /tmp
for module in veth tun inet_diag tcp_diag; do insmod /modules/$module.ko; done
ip link set lo up
ulimit -n 16384
export TCPLAB_UNSHIELDED=1
export TCPLAB_OWN_HOST=1

results=/dev/ttyS1
stty -F $results raw -echo

# --- the script's own ---
# suite NAME COMMAND...: run it, and say where it begins and ends. A few tests that
# failed are run once more, each by itself.
suite() {
	name=$1
	shift
	echo "@begin $name $(cut -d' ' -f1 /proc/uptime)" >$results
	{ "$@" 2>&1; echo $? >/tmp/ended; } | tee /tmp/said >$results
	ended=$(cat /tmp/ended)
	[ "$ended" = 0 ] || again "$@"
	echo "@end $name $ended $(cut -d' ' -f1 /proc/uptime)" >$results
}

again() {
	failed=$(awk '/^ *--- FAIL: / { failed[$3] = 1 }
		END { for (a in failed) { whole = 1; for (b in failed) if (index(b, a "/") == 1) whole = 0; if (whole) print a } }' /tmp/said)
	set -- "$(echo $failed | wc -w)" "$@"
	[ "$1" -ge 1 ] && [ "$1" -le 3 ] || return
	shift
	ended=0
	for test in $failed; do
		echo "@again $test" >$results
		"$@" -test.run "^$(echo $test | sed 's,/,$/^,g')\$" >$results 2>&1 || ended=1
	done
}

echo "@kernel $(uname -r)" >$results
# --- of a guest ---
. /script
echo "@done" >$results
sleep 1
poweroff -f
