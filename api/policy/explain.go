package policy

// Unheard is a policy that does not speak about a question, and why.
type Unheard struct {
	Policy string `json:"policy"`
	Why    string `json:"why"`
}

// Unheard lists the policies that a question does not reach. It looks at all of them, which Judge does not.
func (s *Set) Unheard(q Question) []Unheard {
	var unheard []Unheard
	for _, p := range s.policies {
		if why := p.passes(&q); why != "" {
			unheard = append(unheard, Unheard{p.name, why})
		}
	}
	return unheard
}
