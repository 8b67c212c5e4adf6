package vault

import "time"

// ReplaceEarlier has identity tokens be replaced so long before their end.
func (i *OIDC) ReplaceEarlier(by time.Duration) { i.early = by }
