import { type ClientDefinition, clientSecretBasic, type TokenRequest } from 'evertoken'

const authentication = clientSecretBasic('a-long-enough-secret')

/** Neighbours: one client id at two servers, two at one, and a name that is another's scope. */
export const CLIENTS: Readonly<Record<string, ClientDefinition>> = {
  one: { tokenEndpoint: 'https://as.example/token', clientId: 'one', authentication, scope: 'a' },
  two: { tokenEndpoint: 'https://as.example/token', clientId: 'two', authentication, scope: 'a' },
  far: { tokenEndpoint: 'https://other.example/token', clientId: 'one', authentication, scope: 'a' },
}

const REQUESTS: readonly (TokenRequest | undefined)[] = [
  undefined,
  { scope: 'b' },
  { scope: 'a b' },
  { resource: 'urn:a' },
  { parameters: { tenant: '1' } },
  { parameters: { tenant: '2' } },
]

/** One token that callers want: whose, and with what. */
export interface Identity {
  /** What the server has to read out of the request. */
  readonly name: string
  readonly client: string
  readonly request: TokenRequest | undefined
}

/** All of them. */
export const IDENTITIES: readonly Identity[] = Object.entries(CLIENTS).flatMap(([client, definition]) =>
  REQUESTS.map((request) => {
    const { tokenEndpoint = '', clientId, scope } = definition
    const parts = { scope: request?.scope ?? scope ?? '', resource: String(request?.resource ?? '') }
    return {
      client,
      request,
      name: nameOf({ ...parts, url: tokenEndpoint, clientId, tenant: request?.parameters?.tenant }),
    }
  }),
)

/** Which identity a request to the server is of. */
export function identityOnWire(url: string, init: RequestInit | undefined): string {
  const form = new URLSearchParams(String(init?.body))
  const basic = new Headers(init?.headers).get('authorization') ?? ''
  const clientId = atob(basic.slice('Basic '.length)).split(':')[0] ?? ''
  const resource = form.getAll('resource').join(' ')
  return nameOf({ url, clientId, scope: form.get('scope') ?? '', resource, tenant: form.get('tenant') ?? undefined })
}

function nameOf(
  parts: Record<'url' | 'clientId' | 'scope' | 'resource', string> & { tenant?: string | undefined },
): string {
  const { url, clientId, scope, resource, tenant = '' } = parts
  return [clientId, `at ${new URL(url).host}`, scope, resource, tenant].filter(Boolean).join(', ')
}
