package devstack

// Leftovers returns the server processes that work in dir.
func Leftovers(dir string) ([]int, error) { return leftovers(dir, serverPrograms()) }

// Descendants returns the processes below another one.
func Descendants(pid int) []int { return descendants(pid) }

// Alive reports whether a process still holds anything.
func Alive(pid int) bool { return alive(pid) }
