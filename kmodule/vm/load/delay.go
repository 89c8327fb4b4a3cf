//go:build linux && amd64

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// delayName is what the device mapper knows the slow disk by.
const delayName = "slow"

// delay makes a device of disk whose reads take d, by the kernel's device mapper.
func delay(disk string, d time.Duration) (device string, remove func() error, err error) {
	size, err := os.ReadFile("/sys/class/block/" + filepath.Base(disk) + "/size")
	if err != nil {
		return "", nil, err
	}
	var sectors uint64
	if _, err := fmt.Sscan(string(size), &sectors); err != nil {
		return "", nil, err
	}
	minor, err := mapper(unix.DM_DEV_CREATE, nil)
	if err != nil {
		return "", nil, err
	}
	remove = func() error { _, err := mapper(unix.DM_DEV_REMOVE, nil); return err }
	if _, err = mapper(unix.DM_TABLE_LOAD, delayTable(disk, sectors, d)); err == nil {
		_, err = mapper(unix.DM_DEV_SUSPEND, nil) // without its flag: resume
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return fmt.Sprintf("/dev/dm-%d", minor), remove, nil
}

// delayTable is the one target of the device: reads that take d, writes that do not.
func delayTable(disk string, sectors uint64, d time.Duration) []byte {
	target := unix.DmTargetSpec{Length: sectors}
	copy(target.Target_type[:], "delay")
	table := append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&target)), unix.SizeofDmTargetSpec)...)
	table = fmt.Appendf(table, "%s 0 %d %s 0 0\x00", disk, d.Milliseconds(), disk)
	return append(table, make([]byte, 7)...)
}

// mapper makes a call of the device mapper, and returns the device's minor number.
func mapper(nr uintptr, table []byte) (minor uint32, err error) {
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer control.Close()
	buf := append(make([]byte, unix.SizeofDmIoctl), table...)
	head := (*unix.DmIoctl)(unsafe.Pointer(&buf[0]))
	head.Version[0] = unix.DM_VERSION_MAJOR
	head.Data_size, head.Data_start = uint32(len(buf)), unix.SizeofDmIoctl
	if table != nil {
		head.Target_count = 1
	}
	copy(head.Name[:], delayName)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), nr, uintptr(unsafe.Pointer(head))); errno != 0 {
		return 0, fmt.Errorf("the device mapper's call %#x: %w", nr, errno)
	}
	return unix.Minor(head.Dev), nil
}
