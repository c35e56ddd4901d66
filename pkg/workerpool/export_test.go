package workerpool

// Kept returns for how many items a pool that has nothing to do keeps memory.
func Kept[T any](p *Pool[T]) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cap(p.spare) + cap(p.queue)
}
