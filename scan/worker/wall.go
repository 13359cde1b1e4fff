package worker

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed lists the system calls that a worker may make besides those with
// conditions below: what the Go runtime, libc and libyara need to compute, to
// use the descriptors that they hold, and to give memory back. Names that an
// architecture does not have are left out there.
var allowed = []string{
	// memory
	"brk", "madvise", "mincore", "mlock", "mremap", "munmap",
	// descriptors that are open already; recvmsg brings a job's message
	"close", "fallocate", "fstat", "ftruncate", "lseek", "pread64", "pwrite64",
	"read", "readv", "recvmsg", "sendmsg", "write", "writev", "msync",
	// threads and time
	"clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "getpid",
	"gettid", "gettimeofday", "nanosleep", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask",
	"rt_sigreturn", "sched_getaffinity", "sched_yield", "set_robust_list", "sigaltstack",
	// the runtime's poller
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "poll", "ppoll",
	"getrandom",
}

// confine closes the door: from here on this process can use what it has open
// and nothing else, in all of its threads and for good.
func confine(memory, unpacked int64) error {
	if err := limit(memory, unpacked); err != nil {
		return err
	}
	// no_new_privs is set on one thread and spread to all with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := seccomp.LoadFilter(filter(unix.Getpid())); err != nil {
		return fault{Message: err.Error(), Sandbox: true}
	}
	// Believed when it is felt.
	if fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != unix.EPERM {
		if err == nil {
			unix.Close(fd)
		}
		return fault{Message: "seccomp: files can still be opened", Sandbox: true}
	}
	return nil
}

// filter is the list of what a worker may ask the kernel for. All else is EPERM.
func filter(pid int) seccomp.Filter {
	here, err := arch.GetInfo("")
	if err != nil {
		return seccomp.Filter{} // refused by LoadFilter, with a reason
	}
	var names []string
	for _, name := range allowed {
		if _, ok := here.SyscallNames[name]; ok {
			names = append(names, name)
		}
	}
	when := func(name string, arg uint32, op seccomp.Operation, value uint64) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{
			{Argument: arg, Operation: op, Value: value},
		}}
	}
	return seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno, // EPERM
			Syscalls: []seccomp.SyscallGroup{
				// clone3 keeps its flags in memory, where no filter sees them;
				// libc falls back to clone only when there is no clone3.
				{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
				{Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: []seccomp.NameWithConditions{
					// One bit, for with several any of them would do. A thread without the
					// address space and the signal handlers of its process is refused by the
					// kernel itself (clone(2)).
					when("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD),
					// No owner and no signal for a descriptor (F_SETOWN, F_SETSIG): with
					// O_ASYNC the kernel would kill whom the worker names.
					when("fcntl", 1, seccomp.Equal, unix.F_GETFD),
					when("fcntl", 1, seccomp.Equal, unix.F_SETFD),
					when("fcntl", 1, seccomp.Equal, unix.F_GETFL),
					when("fcntl", 1, seccomp.Equal, unix.F_SETFL),
					when("mmap", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
					when("mprotect", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
					// The runtime interrupts its own threads; nobody else's.
					when("tgkill", 0, seccomp.Equal, uint64(pid)),
				}},
			},
		},
	}
}

// limit sets the resource limits. What is in use now (the program, the rules,
// the runtime's reserves) comes on top of memory.
//
// RLIMIT_DATA counts what a process can write to and does not share: heaps of Go
// and of C, stacks. That bounds its memory. RLIMIT_AS counts every mapping, the
// message and the scratch file too, however large they are, and stands only
// against senseless ones.
func limit(memory, unpacked int64) error {
	total, data, err := usage()
	if err != nil {
		return err
	}
	const message = 64 << 30 // far above what any MTA lets in
	for _, l := range []struct {
		name  string
		which int
		value int64
	}{
		{"core", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, 16},
		{"file size", unix.RLIMIT_FSIZE, unpacked + message},
		{"data", unix.RLIMIT_DATA, data + memory},
		{"address space", unix.RLIMIT_AS, total + memory + unpacked + message},
	} {
		v := unix.Rlimit{Cur: uint64(l.value), Max: uint64(l.value)}
		if err := unix.Setrlimit(l.which, &v); err != nil {
			return fault{Message: fmt.Sprintf("limit of %s: %v", l.name, err), Sandbox: true}
		}
	}
	return nil
}

// usage gives the bytes of address space and of data of this process.
func usage() (total, data int64, err error) {
	text, err := os.ReadFile("/proc/self/statm") // proc(5): pages; total, resident, shared, text, 0, data and stack
	if err != nil {
		return 0, 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 6 {
		return 0, 0, fmt.Errorf("statm: %q", text)
	}
	page := int64(os.Getpagesize())
	for i, v := range map[int]*int64{0: &total, 5: &data} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("statm: %w", err)
		}
		*v = n * page
	}
	return total, data, nil
}
