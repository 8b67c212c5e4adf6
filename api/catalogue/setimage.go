package catalogue

import (
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

type imageParameters struct {
	Container string `json:"container"`
	Image     string `json:"image"`
}

type imageState struct {
	Image string `json:"image"`
}

func setImage() *Action {
	return entry[imageParameters, imageState]{
		name:  "set-image",
		words: Words{"high", "fully available with that digest", "the former image; rollback where it was named by a tag"}, summary: "Have a container of a workload run another image, named by its digest", kinds: rolling(),
		schema: withContainer(map[string]*jsonschema.Schema{
			"image": text("image by digest: registry/name@sha256:...", `^[a-z0-9][-a-zA-Z0-9._:/]*@sha256:[0-9a-f]{64}$`, 512),
		}, "image"),
		see: func(c Case, p imageParameters, target []byte, _ [][]byte, _ imageState) (imageState, error) {
			found, err := containerOf(c.Kind, target, p.Container)
			return imageState{found.Image}, err
		},
		tier: func(Case, imageParameters, imageState) (Tier, string) { return High, "another image is other code" },
		predict: func(c Case, p imageParameters, _ imageState) Prediction {
			return rolledOut(c, map[string]any{"image": p.Image})
		},
		inverse: func(c Case, p imageParameters, s imageState) *Undo {
			if !strings.Contains(s.Image, "@sha256:") {
				return templateBefore(c)
			}
			return &Undo{Action: "set-image", Parameters: encode(imageParameters{p.Container, s.Image})}
		},
		change: func(_ Case, _ Stamp, p imageParameters, live liveObject[imageState]) (Change, error) {
			if live.state.Image == p.Image {
				return Change{}, ErrNothingToDo
			}
			return live.strategic(template(p.Container, map[string]any{"image": p.Image}),
				"image of %s %s → %s", p.Container, live.state.Image, p.Image), nil
		},
	}.action()
}
