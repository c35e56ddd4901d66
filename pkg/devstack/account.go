package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user a server runs as.
type account struct {
	name     string
	uid, gid uint32
	// change is whether that is another user than our own.
	change bool
}

// serverAccount returns the account that runs a server: our own, or, for root,
// the owner of the data that is there already, else the user that its package
// made.
func serverAccount(name, data string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil //nolint:gosec // ids are not negative here
	}
	info, err := os.Stat(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return account{}, fmt.Errorf("look at the data: %w", err)
	default:
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
			id := strconv.FormatUint(uint64(owner.Uid), 10)
			if u, err := user.LookupId(id); err == nil {
				id = u.Username
			}
			return account{name: id, uid: owner.Uid, gid: owner.Gid, change: true}, nil
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("find the account that runs the server: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return account{}, fmt.Errorf("read the ids of account %s: %w", name, err)
	}
	return account{name: name, uid: uint32(uid), gid: uint32(gid), change: true}, nil
}

// credential is what a child's SysProcAttr needs to run as this account.
func (a account) credential() *syscall.Credential {
	if !a.change {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// own makes dir, for this account alone, when it is missing.
func (a account) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if !a.change {
		return nil
	}
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give directory to %s: %w", a.name, err)
	}
	return nil
}

// write makes a file that belongs to this account.
func (a account) write(path, content string, mode fs.FileMode) error {
	// Written beside and renamed: the old one may be read-only, and half a file
	// is never found.
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(temporary, []byte(content), mode); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if a.change {
		if err := os.Chown(temporary, int(a.uid), int(a.gid)); err != nil {
			return fmt.Errorf("give %s to %s: %w", filepath.Base(path), a.name, err)
		}
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// reaches reports whether the account can get into dir. The kernel is asked:
// mode bits alone do not say.
func (a account) reaches(dir string) bool {
	cmd := exec.Command("/bin/sh", "-c", `cd -- "$0"`, dir) //nolint:gosec,noctx // the directory is not code; returns at once
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.credential()}
	return cmd.Run() == nil
}
