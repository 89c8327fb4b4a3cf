// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Signal handlers of the program run through one of ours, which counts them, puts
 * them off while our state is in between, and sends what they have recorded. A
 * signal that ends the process finds nothing recorded.
 */
#include "preload.h"
#include "real.h"

#include <string.h>
#include <sys/syscall.h>

__thread struct thread thr __attribute__((tls_model("initial-exec")));

static struct sigaction program[65];	/* what the program has set */
static bool caught[65];			/* through ours */
static bool fatal;			/* the signals that end a process are caught */

/* It comes from the instruction under way, and cannot be put off. */
static bool fault(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL || sig == SIGTRAP || sig == SIGSYS;
}

/* What was put off while we were busy is sent again, as it came. */
void requeue(void)
{
	uint32_t n = thr.npending, i;
	siginfo_t infos[PENDING];

	memcpy(infos, thr.pending, n * sizeof(*infos));
	thr.npending = 0;
	for (i = 0; i < n; i++)
		raw(SYS_rt_tgsigqueueinfo, raw(SYS_getpid), raw(SYS_gettid), infos[i].si_signo, &infos[i]);
}

/*
 * Puts a signal off until our state is whole again; false: there are too many. As in the kernel,
 * one that is not of real time waits once. A wait that the table is about to come to must not sleep over it.
 */
static bool put_off(const siginfo_t *info)
{
	uint32_t i;

	for (i = 0; i < thr.npending && info->si_signo < SIGRTMIN; i++)
		if (thr.pending[i].si_signo == info->si_signo)
			break;
	if (i == PENDING)
		return false;
	if (i == thr.npending || info->si_signo >= SIGRTMIN)
		thr.pending[thr.npending++] = *info;
	if (thr.sleep)
		*thr.sleep = (struct timespec){};
	thr.ran++;
	return true;
}

/*
 * The signal's default ends the process: what is recorded leaves first. A fault is left to
 * happen again, so that what is dumped shows it.
 */
static void end_process(int sig, bool again)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t set;

	if (!thr.depth) {
		leave(DYING_MS);
		stats_print();
	}
	REAL(sigaction)(sig, &dfl, NULL);
	if (again)
		return;
	raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), sig);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raw(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8);
}

static void ours(int sig, siginfo_t *info, void *context)
{
	struct sigaction act = program[sig];
	int err = errno;
	sigset_t set;

	if (thr.copying && (sig == SIGSEGV || sig == SIGBUS)) {
		sigemptyset(&set);
		sigaddset(&set, sig);
		raw(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8);
		__builtin_longjmp(thr.copying, 1);
	}
	if (thr.depth && !fault(sig) && put_off(info)) {
		if (act.sa_flags & SA_RESETHAND)
			REAL(sigaction)(sig, &(struct sigaction){ .sa_sigaction = ours, .sa_mask = act.sa_mask,
				.sa_flags = act.sa_flags | SA_SIGINFO }, NULL);
		return;
	}
	if (act.sa_handler == SIG_DFL) {
		end_process(sig, info->si_code > 0 && (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL));
		errno = err;
		return;
	}
	if (act.sa_flags & SA_RESETHAND)
		caught[sig] = false;
	thr.ran++;
	act.sa_sigaction(sig, info, context);	/* of one that takes less, the rest is not looked at */
	if (!bypass())
		flush_mine();
	errno = err;
}

/* Whether the signal's default is to end the process. */
static bool ends(int sig)
{
	switch (sig) {
	case SIGHUP:
	case SIGINT:
	case SIGQUIT:
	case SIGABRT:
	case SIGUSR1:
	case SIGUSR2:
	case SIGPIPE:
	case SIGALRM:
	case SIGTERM:
	case SIGSTKFLT:
	case SIGXCPU:
	case SIGXFSZ:
	case SIGVTALRM:
	case SIGPROF:
	case SIGIO:
	case SIGPWR:
		return true;
	}
	return fault(sig);
}

/*
 * At the first table: from now on a signal whose default it is to end the process does
 * so when what is recorded has left.
 */
void catch_fatal(void)
{
	struct sigaction act;
	int sig;

	begin();
	if (!fatal) {
		fatal = true;
		for (sig = 1; sig < 32; sig++)
			if (ends(sig) && !caught[sig] && !REAL(sigaction)(sig, NULL, &act) && act.sa_handler == SIG_DFL) {
				program[sig] = act;
				act.sa_sigaction = ours;
				act.sa_flags = SA_SIGINFO;
				caught[sig] = !REAL(sigaction)(sig, &act, NULL);
			}
	}
	end();
}

/* On a parent's memory the tables of handlers are the parent's. */
static bool in_child(void)
{
	return thr.vforked && in_vfork_child();
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction was, set;
	int ret;

	if (sig < 1 || sig > 64 || !executor || in_child())
		return REAL(sigaction)(sig, act, old);
	was = program[sig];
	if (!act) {
		ret = REAL(sigaction)(sig, NULL, old);
		if (!ret && old && caught[sig])
			*old = was;
		return ret;
	}
	set = *act;
	begin();
	if (act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN) {
		set.sa_sigaction = ours;
		set.sa_flags |= SA_SIGINFO;
	} else if (act->sa_handler == SIG_DFL && fatal && ends(sig)) {
		set.sa_sigaction = ours;
		set.sa_flags = SA_SIGINFO;
	}
	program[sig] = *act;
	ret = REAL(sigaction)(sig, &set, old);
	if (ret) {
		program[sig] = was;
	} else {
		if (old && caught[sig])
			*old = was;
		caught[sig] = set.sa_sigaction == ours;
	}
	end();
	return ret;
}

EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old) __attribute__((alias("sigaction")));

static sighandler_t set_handler(int sig, sighandler_t handler, int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;

	if (handler == SIG_ERR || sig < 1 || sig > 64) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&act.sa_mask);
	if (flags & SA_RESTART)
		sigaddset(&act.sa_mask, sig);
	return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESTART);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler) __attribute__((alias("signal")));
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler) __attribute__((alias("signal")));

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, SA_RESETHAND | SA_NODEFER);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler) __attribute__((alias("sysv_signal")));
