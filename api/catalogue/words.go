package catalogue

// Words are what documentation says of an action that only running it would tell: its tiers, what it predicts, and its inverse.
type Words struct {
	Tiers      string `json:"tiers"`
	Prediction string `json:"prediction"`
	Inverse    string `json:"inverse"`
}
