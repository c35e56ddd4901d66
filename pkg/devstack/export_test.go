package devstack

// Leftovers returns the server processes that work in dir.
func Leftovers(dir string) ([]int, error) { return leftovers(dir, serverPrograms()) }
