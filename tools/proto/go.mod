// Generates api/writv1 from api/proto: see buf.gen.yaml.
module github.com/writ-dev/writ/tools/proto

go 1.26.7
