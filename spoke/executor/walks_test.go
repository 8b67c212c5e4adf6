package executor

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"

	"github.com/writ-dev/writ/api/catalogue"
)

const (
	sumA = "registry.example/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "registry.example/web@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// walks are tried in this order, on the objects of seeds.
var walks = []walk{
	{"scale", catalogue.Deployment, "web", `{"replicas":3}`, catalogue.Low, "replicas 2 → 3", true, `scale {"replicas":2}`},
	{"set-image", catalogue.Deployment, "web", `{"container":"main","image":"` + sumB + `"}`, catalogue.High,
		"image of main " + sumA + " → " + sumB, true, `set-image {"container":"main","image":"` + sumA + `"}`},
	{"set-resources", catalogue.Deployment, "web", `{"container":"main","requests":{"memory":"32Mi"}}`, catalogue.High,
		`resources of main {"requests":{"memory":"64Mi"}} → {"requests":{"memory":"32Mi"}}`, false,
		`set-resources {"container":"main","requests":{"memory":"64Mi"}}`},
	{"set-env", catalogue.Deployment, "web", `{"container":"main","env":{"MODE":{"configMap":"settings","key":"mode"}}}`, catalogue.Medium,
		`main: MODE a value → key mode of ConfigMap settings`, true, `rollback {"revision":3}`},
	{"set-probe", catalogue.Deployment, "web", `{"container":"main","probe":"readiness","periodSeconds":20}`, catalogue.Medium,
		`readiness probe of main {"periodSeconds":10} → {"periodSeconds":20}`, true,
		`set-probe {"container":"main","probe":"readiness","periodSeconds":10}`},
	{"set-probe", catalogue.Deployment, "web", `{"container":"main","probe":"readiness","remove":true}`, catalogue.High,
		"readiness probe of main removed", true, `rollback {"revision":5}`},
	{"rollback", catalogue.Deployment, "web", `{"revision":1}`, catalogue.Medium, "pod template of revision 6 → revision 1", true,
		`rollback {"revision":6}`},
	{"rollout-restart", catalogue.StatefulSet, "db", `{}`, catalogue.Low, "restart all pods", true, ""},
	{"undo-partial-rollout", catalogue.StatefulSet, "db", `{"partition":1}`, catalogue.Medium, "partition 0 → 1", true,
		`undo-partial-rollout {"partition":0}`},
	{"pause-rollout", catalogue.Deployment, "web", `{}`, catalogue.Low, "paused false → true", true, `resume-rollout {}`},
	{"resume-rollout", catalogue.Deployment, "web", `{}`, catalogue.Low, "paused true → false", true, `pause-rollout {}`},
	{"label", catalogue.Deployment, "web", `{"values":{"team":"shop","old":null}}`, catalogue.Low,
		`labels old "1" → none, team none → "shop"`, true, `label {"values":{"old":"1","team":null}}`},
	{"annotate", catalogue.Service, "web", `{"values":{"example.com/note":"seen"}}`, catalogue.Low,
		`annotations example.com/note none → "seen"`, true, `annotate {"values":{"example.com/note":null}}`},
	{"suspend-cronjob", catalogue.CronJob, "tick", `{}`, catalogue.Low, "suspend false → true", true, `resume-cronjob {}`},
	{"resume-cronjob", catalogue.CronJob, "tick", `{}`, catalogue.Low, "suspend true → false", true, `suspend-cronjob {}`},
	{"adjust-hpa", catalogue.HorizontalPodAutoscaler, "web", `{"max":6,"target":70}`, catalogue.Low, "max 4 → 6, CPU target 80 → 70", true,
		`adjust-hpa {"max":4,"target":80}`},
	{"adjust-pdb", catalogue.PodDisruptionBudget, "web", `{"maxUnavailable":"50%"}`, catalogue.High, "minAvailable 1 → maxUnavailable 50%", true,
		`adjust-pdb {"minAvailable":1}`},
	{"expand-pvc", catalogue.PersistentVolumeClaim, "data", `{"size":"2Gi"}`, catalogue.Medium, "size 1Gi → 2Gi", false, ""},
	{"patch-configmap", catalogue.ConfigMap, "settings", `{"values":{"mode":"slow"}}`, catalogue.Medium, `data mode "fast" → "slow"`, false,
		`patch-configmap {"values":{"mode":"fast"}}`},
	{"restore-configmap", catalogue.ConfigMap, "settings", `{"revision":"order-1","values":{"mode":"fast"}}`, catalogue.Medium,
		`data mode "slow" → "fast"`, false, `patch-configmap {"values":{"mode":"slow"}}`},
	{"adjust-quota", catalogue.ResourceQuota, "room", `{"hard":{"pods":"60"}}`, catalogue.High, `hard {"pods":"50"} → {"pods":"60"}`, true,
		`adjust-quota {"hard":{"pods":"50"}}`},
	{"patch-service-selector", catalogue.Service, "web", `{"selector":{"app":"web","tier":"front"},"port":{"port":80,"targetPort":8081}}`,
		catalogue.High, `{"selector":{"app":"web"},"port":{"port":80,"targetPort":8080}} → {"selector":{"app":"web","tier":"front"},"port":{"port":80,"targetPort":8081}}`,
		true, `patch-service-selector {"selector":{"app":"web"},"port":{"port":80,"targetPort":8080}}`},
	{"apply-patch", catalogue.CronJob, "tick", `{"patch":{"spec":{"schedule":"1 1 1 1 *","startingDeadlineSeconds":60}},"expect":{"field":"spec.schedule","value":"1 1 1 1 *"}}`,
		catalogue.High, `apply {"spec":{"schedule":"1 1 1 1 *","startingDeadlineSeconds":60}}`, true,
		`apply-patch {"patch":{"spec":{"schedule":"0 0 1 1 *"}},"expect":{"field":"spec.schedule","value":"0 0 1 1 *"},"inPlaceOf":"ORDER"}`},
	{"delete-job", catalogue.Job, "idle", `{}`, catalogue.Medium, "delete, Running, propagation Background", true, ""},
	{"run-cronjob-now", catalogue.CronJob, "tick", `{}`, catalogue.Medium, "start Job tick-writ-HASH", true, `delete-job {"propagation":"Background"}`},
	{"retry-job", catalogue.Job, "broken", `{}`, catalogue.Medium, "start Job broken-writ-HASH", false, `delete-job {"propagation":"Background"}`},
	{"resize-pod", catalogue.Pod, "db-0", `{"container":"main","requests":{"cpu":"20m"}}`, catalogue.Low,
		`resources of main {"requests":{"cpu":"10m"}} → {"requests":{"cpu":"20m"}}`, true,
		`resize-pod {"container":"main","requests":{"cpu":"10m"}}`},
	{"quarantine-pod", catalogue.Pod, "sick", `{}`, catalogue.Medium, "quarantine under NetworkPolicy quarantine, without the labels app=web; still open by dns",
		true, `release-pod {}`},
	{"release-pod", catalogue.Pod, "sick", `{}`, catalogue.Medium, "end the quarantine, with the labels app=web", true, `quarantine-pod {}`},
	{"delete-pod", catalogue.Pod, "db-0", `{"graceSeconds":5}`, catalogue.Low, "delete, grace 5 s", true, ""},
	{"evict-pod", catalogue.Pod, "db-1", `{}`, catalogue.Low, "evict", true, ""},
	{"force-delete-stuck-pod", catalogue.Pod, "lost", `{}`, catalogue.High, "force delete, terminating since TIME", true, ""},
	{"remove-finalizer", catalogue.ConfigMap, "held", `{"finalizer":"example.com/hold"}`, catalogue.High,
		"finalizer example.com/hold removed, terminating since TIME", true, ""},
	{"cordon", catalogue.Node, "walked", `{}`, catalogue.Medium, "unschedulable false → true", true, `uncordon {}`},
	{"uncordon", catalogue.Node, "walked", `{}`, catalogue.Medium, "unschedulable true → false", true, `cordon {}`},
	{"drain", catalogue.Node, "full", `{"force":true}`, catalogue.High, "cordon, evict 1 pod: pod/NS/tenant", true, `uncordon {}`},
	{"taint-node", catalogue.Node, "walked", `{"key":"example.com/full","value":"disk","effect":"NoSchedule"}`, catalogue.Medium,
		"taint-node example.com/full=disk:NoSchedule", true, `untaint-node {"key":"example.com/full","value":"disk","effect":"NoSchedule"}`},
	{"untaint-node", catalogue.Node, "walked", `{"key":"example.com/full","effect":"NoSchedule"}`, catalogue.Medium,
		"untaint-node example.com/full=:NoSchedule", true, `taint-node {"key":"example.com/full","value":"disk","effect":"NoSchedule"}`},
	{"set-networkpolicy", catalogue.NetworkPolicy, "dns", `{"template":"deny-egress"}`, catalogue.High,
		`rules {"policyTypes":["Egress"],"egress":[{"ports":[{"port":53,"protocol":"UDP"}]}]} → {"policyTypes":["Egress"]}`, true,
		`set-networkpolicy {"template":"former","digest":"sha256:SUM"}`},
	{"set-networkpolicy", catalogue.NetworkPolicy, "dns", `{"template":"former"}`, catalogue.High,
		`rules {"policyTypes":["Egress"]} → {"policyTypes":["Egress"],"egress":[{"ports":[{"port":53,"protocol":"UDP"}]}]}`, true,
		`set-networkpolicy {"template":"former","digest":"sha256:SUM"}`},
	{"add-networkpolicy", catalogue.StatefulSet, "db", `{"template":"same-namespace"}`, catalogue.High,
		"make NetworkPolicy db-writ-HASH (same-namespace) for pods with app=db", true, `delete-networkpolicy {}`},
	{"delete-networkpolicy", catalogue.NetworkPolicy, "db-writ-0123456789", `{}`, catalogue.High, `delete, rules {"policyTypes":["Ingress"]}`, true, ""},
	{"approve-csr", catalogue.CertificateSigningRequest, "walked", `{"signer":"example.org/x"}`, catalogue.High,
		"approve a certificate of example.org/x for CN=x, asked for by admin", false, ""},
	{"collect-diagnostics", catalogue.Pod, "sick", `{"tailLines":5}`, catalogue.Low, "collect diagnostics", false, ""},
	{"collect-diagnostics", catalogue.Deployment, "web", `{}`, catalogue.Low, "collect diagnostics", false, ""},
	{"collect-node-diagnostics", catalogue.Node, "walked", `{}`, catalogue.Low, "collect diagnostics", false, ""},
	{"debug-probe", catalogue.Service, "web", `{"mode":"resolve"}`, catalogue.Medium, "resolve web.NS.svc", false, ""},
	{"debug-probe", catalogue.Service, "web", `{"mode":"connect","port":80}`, catalogue.Medium, "connect to ADDRESS:80", false, ""},
	{"renew-certificate", catalogue.Certificate, "web", `{}`, catalogue.Low, "issue anew after revision 3", false, ""},
}

var clusterScoped = map[string]bool{"CustomResourceDefinition": true, "StorageClass": true, "Node": true, "CertificateSigningRequest": true}

// terminating are the seeds that are deleted at once, and stay for want of a kubelet or of whoever takes their finalizer.
var terminating = map[string]bool{"lost": true, "held": true}

// signingRequest is one for CN=x, in PEM and base64.
func signingRequest() string {
	_, key, _ := ed25519.GenerateKey(nil)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "x"}}, key)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

const podTemplate = `{"metadata":{"labels":{"app":"web","tier":"front"}},"spec":{"containers":[{"name":"main","image":"` + sumA + `",
	"env":[{"name":"MODE","value":"fast"}],"resources":{"requests":{"memory":"64Mi"}},
	"readinessProbe":{"tcpSocket":{"port":8080},"periodSeconds":10}}]}}`

var seeds = []string{
	`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"certificates.cert-manager.io"},
		"spec":{"group":"cert-manager.io","scope":"Namespaced","names":{"plural":"certificates","kind":"Certificate"},"versions":[{"name":"v1",
		"served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`,
	`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"old":"1"}},"spec":{"replicas":2,
		"selector":{"matchLabels":{"app":"web"}},"template":` + podTemplate + `}}`,
	`{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"db"}},
		"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"main","image":"x","resources":{"requests":{"cpu":"10m"}}}]}}}}`,
	`{"apiVersion":"v1","kind":"Node","metadata":{"name":"walked"}}`,
	`{"apiVersion":"v1","kind":"Node","metadata":{"name":"full"},"spec":{"taints":[{"key":"example.com/full","effect":"NoSchedule"}]}}`,
	`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"tenant"},"spec":{"nodeName":"full","tolerations":[{"operator":"Exists"}],
		"containers":[{"name":"main","image":"x"}]}}`,
	`{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"walked"},"spec":{"signerName":"example.org/x",
		"usages":["digital signature"],"request":"` + signingRequest() + `"}}`,
	`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"idle"},"spec":{"suspend":true,"template":
		{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"x"}]}}}}`,
	`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"broken"},"spec":{"activeDeadlineSeconds":1,"template":
		{"spec":{"restartPolicy":"Never","nodeSelector":{"no":"where"},"containers":[{"name":"main","image":"x"}]}}}}`,
	`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"lost","ownerReferences":[{"apiVersion":"apps/v1",
		"kind":"StatefulSet","name":"db","uid":"none","controller":true}]},"spec":{"nodeName":"nowhere","containers":[{"name":"main","image":"x"}]}}`,
	`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"sick","labels":{"app":"web","tier":"front"}},
		"spec":{"nodeName":"walked","tolerations":[{"operator":"Exists"}],"containers":[{"name":"main","image":"x"}]}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"quarantine"},"spec":{
		"podSelector":{"matchLabels":{"writ.dev/quarantine":"true"}},"policyTypes":["Ingress","Egress"]}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"db-writ-0123456789","annotations":{"writ.dev/order":"one"}},
		"spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress"]}}`,
	`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"dns"},"spec":{
		"podSelector":{},"policyTypes":["Egress"],"egress":[{"ports":[{"protocol":"UDP","port":53}]}]}}`,
	`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"held","finalizers":["example.com/hold"]}}`,
	`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"tick"},"spec":{"schedule":"0 0 1 1 *","jobTemplate":{"spec":{"template":
		{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"x"}]}}}}}}`,
	`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"},"spec":{"maxReplicas":4,
		"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"none"},
		"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]}}`,
	`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}`,
	`{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"elastic"},"provisioner":"example.com/none","allowVolumeExpansion":true}`,
	`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],
		"storageClassName":"elastic","volumeName":"walk-data","resources":{"requests":{"storage":"1Gi"}}},
		"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}}}`,
	`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"mode":"fast"}}`,
	`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"room"},"spec":{"hard":{"pods":"50"}}}`,
	`{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080}]}}`,
	`{"apiVersion":"cert-manager.io/v1","kind":"Certificate","metadata":{"name":"web"},"spec":{"secretName":"web"},
		"status":{"revision":3,"conditions":[{"type":"Ready","status":"True","reason":"Ready"}]}}`,
}
