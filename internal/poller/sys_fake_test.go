package poller

import "sync"

// fakeSys is the kernel, except that Accept fails with the errors it is given,
// one after the other, where they aren't nil. Its zero value is the kernel.
type fakeSys struct {
	OS
	mu      sync.Mutex
	accept  []error
	always  error // once accept is used up
	accepts int   // calls
}

func (s *fakeSys) Accept(fd int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepts++
	err := s.always
	if len(s.accept) > 0 {
		err, s.accept = s.accept[0], s.accept[1:]
	}
	if err != nil {
		return -1, err
	}
	return s.OS.Accept(fd)
}

func (s *fakeSys) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepts
}
