/**
 * Names, scopes and resources that the configuration declares are types (M1, M18). Nothing here runs: the compiler is the test, and
 * an error that it does not find where one is expected is an error.
 */
import {
  type ClientDefinition,
  type ClientDefinitions,
  clientSecretBasic,
  createTokenManager,
  type RequestAuthorizer,
  type TokenManager,
  type TokenSource,
} from 'evertoken'

const base = {
  tokenEndpoint: 'https://as.example/token',
  clientId: 'machine',
  authentication: clientSecretBasic('a-long-enough-secret'),
}
const destination = { baseUrl: 'https://api.example' }

const open = () =>
  createTokenManager({
    clients: {
      catalog: { ...base, scope: 'read write admin', resource: ['urn:a', 'urn:b'] },
      billing: { ...base, scope: 'pay', resource: 'urn:billing' },
      plain: base,
    },
  })

export async function names(): Promise<void> {
  const tokens = open()
  await tokens.getToken('catalog')
  await tokens.delete('billing')
  await tokens.delete()
  await tokens.revoke('plain')

  // @ts-expect-error M1 misspelled
  await tokens.getToken('catalgo')
  // @ts-expect-error M1 another case
  tokens.source('Catalog')
  // @ts-expect-error M1 a member of every object
  tokens.source('toString')
  // @ts-expect-error M1 no name at all
  tokens.source()
  // @ts-expect-error M1 a text that may be anything
  tokens.source('catalog' as string)
  // @ts-expect-error M1 misspelled
  tokens.authorizer('catalgo', destination)
  // @ts-expect-error M1 misspelled
  tokens.fetch('catalgo', destination)
  // @ts-expect-error M1 misspelled
  await tokens.delete('catalgo')
  // @ts-expect-error M1 misspelled
  await tokens.revoke('catalgo')
}

export async function scopes(some: string): Promise<void> {
  const tokens = open()
  await tokens.getToken('catalog', { scope: 'read' })
  await tokens.getToken('catalog', { scope: 'admin write' })
  await tokens.getToken('catalog', { scope: 'admin read write' })
  await tokens.getToken('catalog', { scope: undefined })
  await tokens.getToken('catalog', { scope: some })
  await tokens.getToken('billing', { scope: 'pay' })
  await tokens.getToken('plain', { scope: 'anything at all' })
  tokens.fetch('catalog', destination, { scope: 'write read' })

  // @ts-expect-error M18 not declared
  await tokens.getToken('catalog', { scope: 'delete' })
  // @ts-expect-error M18 one of the values is not declared
  await tokens.getToken('catalog', { scope: 'read delete' })
  // @ts-expect-error M18 the scope of another client
  tokens.source('catalog', { scope: 'pay' })
  // @ts-expect-error M18 another case
  tokens.authorizer('billing', destination, { scope: 'Pay' })
  // @ts-expect-error M18 not declared
  tokens.fetch('billing', destination, { scope: 'read' })
  // @ts-expect-error M18 not declared
  await tokens.delete('billing', { scope: 'read' })
  // @ts-expect-error M18 not declared
  await tokens.revoke('billing', { scope: 'read' })
  // @ts-expect-error a list is not a scope
  await tokens.getToken('plain', { scope: ['a'] })
}

export async function resources(): Promise<void> {
  const tokens = open()
  await tokens.getToken('catalog', { resource: 'urn:b' })
  await tokens.getToken('catalog', { resource: ['urn:b', 'urn:a'] })
  await tokens.getToken('billing', { resource: 'urn:billing' })
  await tokens.getToken('billing', { resource: ['urn:billing'] })
  await tokens.getToken('plain', { resource: ['urn:anything', 'https://api.example'] })

  // @ts-expect-error M18 not declared
  await tokens.getToken('catalog', { resource: 'urn:c' })
  // @ts-expect-error M18 one of them is not declared
  tokens.source('catalog', { resource: ['urn:a', 'urn:c'] })
  // @ts-expect-error M18 the resource of another client
  tokens.authorizer('billing', destination, { resource: 'urn:a' })
  // @ts-expect-error M18 not declared
  tokens.fetch('billing', destination, { resource: ['urn:a'] })
}

export function destinations(): void {
  const tokens = open()
  const authorizer: RequestAuthorizer = tokens.authorizer('plain', { origins: ['https://api.example'] })
  tokens.fetch('plain', { baseUrl: new URL('https://api.example'), origins: ['https://other.example'] })
  void authorizer

  // @ts-expect-error neither baseUrl nor origins
  tokens.fetch('plain', {})
  // @ts-expect-error neither baseUrl nor origins
  tokens.authorizer('plain', {})
  // @ts-expect-error no destination
  tokens.fetch('plain')
  // @ts-expect-error one origin is not a list of them
  tokens.fetch('plain', { origins: 'https://api.example' })
}

export async function requests(): Promise<void> {
  const tokens = open()
  const source: TokenSource = tokens.source('plain', { parameters: { a: 'b' }, partition: 'a', context: { any: 1 } })
  await source.getToken({ forceRenewal: true })

  // @ts-expect-error misspelled
  await tokens.getToken('plain', { scopes: 'a' })
  // @ts-expect-error a parameter is a text
  await tokens.getToken('plain', { parameters: { a: 1 } })
  // @ts-expect-error a partition is a text
  await tokens.getToken('plain', { partition: null })
  // @ts-expect-error a token does not change
  ;(await tokens.getToken('plain')).accessToken = 'changed'
}

/** Clients that are known when the program runs: any name, any scope, any resource. */
export async function wide(clients: Record<string, ClientDefinition>, name: string): Promise<void> {
  const tokens = createTokenManager({ clients })
  await tokens.getToken(name, { scope: 'a b', resource: ['urn:a'] })
  await tokens.getToken('anything', { scope: name })
  const kept: TokenManager<ClientDefinitions> = tokens
  await kept.close()
}

/** A scope that is text to the compiler says nothing about what may be asked for. */
export async function undeclared(scope: string, resource: string): Promise<void> {
  const definition: ClientDefinition = { ...base, scope, resource }
  const tokens = createTokenManager({ clients: { one: { ...base, scope, resource }, two: definition } })
  await tokens.getToken('one', { scope: 'a', resource: 'urn:a' })
  await tokens.getToken('two', { scope: 'a b', resource: ['urn:a', 'urn:b'] })
}

/** A definition of its own keeps its declared values where it is constant. */
export async function apart(): Promise<void> {
  const catalog = { ...base, scope: 'read write', resource: ['urn:a'] } as const satisfies ClientDefinition
  const tokens = createTokenManager({ clients: { catalog } })
  await tokens.getToken('catalog', { scope: 'write', resource: 'urn:a' })
  // @ts-expect-error M18 not declared
  await tokens.getToken('catalog', { scope: 'admin' })
}

export function definitions(): void {
  const { clientId, authentication } = base
  // @ts-expect-error M2 no client id
  createTokenManager({ clients: { a: { tokenEndpoint: base.tokenEndpoint, authentication } } })
  // @ts-expect-error M2 no authentication
  createTokenManager({ clients: { a: { tokenEndpoint: base.tokenEndpoint, clientId } } })
  // @ts-expect-error M2 a secret is no authentication
  createTokenManager({ clients: { a: { ...base, authentication: 'secret' } } })
  // @ts-expect-error M2 no clients
  createTokenManager({})
  // @ts-expect-error M2 an option that there is not
  createTokenManager({ clients: { a: base }, cache: true })
}

export function keys(): void {
  const key = { kty: 'EC', crv: 'P-256' }
  createTokenManager({
    clients: { bound: { ...base, dpop: true }, own: { ...base, dpop: key }, given: { ...base, dpop: () => key } },
  })
  // @ts-expect-error D6 there is no half way: a client's tokens are bound or the option is left out
  createTokenManager({ clients: { bound: { ...base, dpop: false } } })
}
