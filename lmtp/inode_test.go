package lmtp

import (
	"fmt"
	"os"
	"syscall"
)

func inodeOf(info os.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprint(st.Dev, ":", st.Ino)
}
