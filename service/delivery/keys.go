package delivery

import "maps"

// keys says what runs, or is open, of each ordering key. It belongs to the
// goroutine of its dispatcher. The empty key is no key: it orders nothing.
type keys struct {
	running map[string]struct{}
	rows    map[string]int
}

func newKeys(rows map[string]int) *keys {
	k := &keys{running: make(map[string]struct{}), rows: make(map[string]int, len(rows))}
	maps.Copy(k.rows, rows)
	return k
}

// none reports whether there is no key for which anything has to wait.
func (k *keys) none() bool { return len(k.running)+len(k.rows) == 0 }

// free reports whether a message of the key that has no row may run.
func (k *keys) free(key string) bool {
	if key == "" {
		return true
	}
	_, running := k.running[key]
	return !running && k.rows[key] == 0
}

// idle reports whether no message of the key runs.
func (k *keys) idle(key string) bool {
	_, running := k.running[key]
	return !running
}

func (k *keys) begin(key string) {
	if key != "" {
		k.running[key] = struct{}{}
	}
}

func (k *keys) end(key string) { delete(k.running, key) }

func (k *keys) addRow(key string) {
	if key != "" {
		k.rows[key]++
	}
}

// removeRow reports whether the key has more rows.
func (k *keys) removeRow(key string) (more bool) {
	if key == "" {
		return false
	}
	if k.rows[key]--; k.rows[key] <= 0 {
		delete(k.rows, key)
		return false
	}
	return true
}
