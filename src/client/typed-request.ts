import type { TokenRequest } from '../token/index.ts'
import type { ClientDefinition } from './client-definition.ts'

/** The values of a scope that is known when the program is compiled; any text otherwise. */
type ScopeValues<Scope extends string> = string extends Scope
  ? string
  : Scope extends `${infer First} ${infer Rest}`
    ? First | ScopeValues<Rest>
    : Scope

/** The scope values that a client declares; any text when it declares none. */
type DeclaredScope<Client> = Client extends { readonly scope: infer Scope extends string } ? ScopeValues<Scope> : string

/** The resources that a client declares; any text when it declares none. */
type DeclaredResource<Client> = Client extends { readonly resource: infer Resource }
  ? Resource extends readonly (infer Each extends string)[]
    ? Each
    : Extract<Resource, string>
  : string

/** A scope itself where all its values are among the declared ones, the declared ones otherwise. */
type CheckedScope<Scope extends string, Declared extends string> = [ScopeValues<Scope>] extends [Declared]
  ? Scope
  : string extends Scope
    ? Scope
    : Declared

/** What a caller may vary for one client: of scopes and resources that are declared, only those. */
export interface RequestFor<Client extends ClientDefinition, Scope extends string>
  extends Omit<TokenRequest, 'scope' | 'resource'> {
  /** Some of the client's scope values, separated by spaces. */
  readonly scope?: CheckedScope<Scope, DeclaredScope<Client>> | undefined
  /** Some of the client's resources. */
  readonly resource?: DeclaredResource<Client> | readonly DeclaredResource<Client>[] | undefined
}
