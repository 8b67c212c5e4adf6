package tokenrequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/writ-dev/writ/api/bundle"
)

// Annotations of what is made for an action, for whoever finds it in the cluster.
const (
	orderAnnotation     = "writ.dev/order"
	requestAnnotation   = "writ.dev/request"
	namespaceAnnotation = "writ.dev/namespace" // of the binding
)

// asBinder is how to be Binder: by a token that the spoke asks for, which is replaced before it ends.
func asBinder(config *rest.Config, spoke rest.Interface) *rest.Config {
	binder := rest.AnonymousClientConfig(config)
	binder.Wrap(transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(binderTokens{spoke})))
	return binder
}

// binderTokens implements oauth2.TokenSource.
type binderTokens struct{ spoke rest.Interface }

// Token implements oauth2.TokenSource.
func (b binderTokens) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t, err := token(ctx, b.spoke, System, Binder, least)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: t.secret, Expiry: t.expires.Add(-time.Minute)}, nil
}

// account is a ServiceAccount, of which only this matters here.
type account struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Automount         bool `json:"automountServiceAccountToken"`
}

// make creates the account of an action and its binding, and does what is next with the account as soon as there is one; all of it is done
// when it returns. What is there already is of the same bundle, and stays. Where it fails nothing is left, as far as the API server lets it
// be removed.
func (i *Issuer) make(ctx context.Context, who identity, order bundle.Order, next func() error) error {
	meta := metav1.ObjectMeta{Name: who.account, Annotations: map[string]string{
		orderAnnotation: order.ID, requestAnnotation: order.RequestID, namespaceAnnotation: who.namespace}}
	kind := "Role"
	if who.namespace == "" {
		kind = "ClusterRole"
	}
	binding := rbacv1.RoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind + "Binding"}, ObjectMeta: meta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: Role(order.Action)},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: who.account}}}
	var both errgroup.Group // each to its end: what is cut off could come about after it was removed
	both.Go(func() error { return i.create(ctx, who.binding(), binding) })
	both.Go(func() error {
		err := i.create(ctx, accounts(), account{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: meta})
		if err == nil {
			err = next()
		}
		return err
	})
	err := both.Wait()
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, i.remove(ctx, who))
	}
	return err
}

func (i *Issuer) create(ctx context.Context, path []string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	err = i.binder.Post().AbsPath(path...).SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").Body(body).Do(ctx).Error()
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return refused("an identity of the action", err)
	case err != nil:
		return fmt.Errorf("making the identity of an action: %w", err)
	}
	return nil
}

// remove deletes the account of an action and its binding. What is gone is no error.
func (i *Issuer) remove(ctx context.Context, who identity) error {
	var group errgroup.Group // each for itself: one that fails keeps no other back
	for _, path := range [][]string{accounts(), who.binding()} {
		group.Go(func() error { return i.delete(ctx, append(path, who.account)) })
	}
	return group.Wait()
}

func (i *Issuer) delete(ctx context.Context, path []string) error {
	err := i.binder.Delete().AbsPath(path...).SetHeader("Accept", "application/json").Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("removing the identity of an action: %w", err)
}

// atOnce is how many accounts one page of a sweep lists.
const atOnce = 500

// Sweep ends whatever was issued and not ended, by a spoke that died or lost its memory. Nobody else's lease may be under way.
// It returns how many it has ended, also where it could not end all.
func (i *Issuer) Sweep(ctx context.Context) (ended int, err error) {
	for page := ""; ; {
		var list metav1.PartialObjectMetadataList
		raw, err := i.binder.Get().AbsPath(accounts()...).Param("limit", fmt.Sprint(atOnce)).Param("continue", page).
			SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(ctx).Raw()
		if err == nil {
			err = json.Unmarshal(raw, &list)
		}
		if apierrors.IsForbidden(err) {
			return ended, refused("looking for identities that are left", err)
		}
		if err != nil {
			return ended, fmt.Errorf("looking for identities that are left: %w", err)
		}
		var left error
		for _, object := range list.Items {
			namespace, ours := object.Annotations[namespaceAnnotation]
			if !ours {
				continue // the API server makes an account of its own in every namespace
			}
			if err := i.remove(ctx, identity{account: object.Name, namespace: namespace}); err != nil {
				left = errors.Join(left, err)
				continue
			}
			ended++
		}
		if page = list.Continue; page == "" || left != nil {
			return ended, left
		}
	}
}
