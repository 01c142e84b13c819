import type { ClientDefinition, ClientDefinitions, TokenManagerOptions } from '../client/index.ts'
import { readUnverifiedJwt, type UnverifiedJwt } from '../keys/index.ts'
import {
  type ClientAuthentication,
  type ClientIdentity,
  clientAssertion,
  type TokenEndpointDraft,
} from '../oauth/index.ts'
import { ConfigurationError, isEvertokenError, TransportError } from '../token/index.ts'
import { systemClock, withDeadline } from '../util/index.ts'

/** What a client assertion says, without what makes it one: its signature. */
export interface AssertionPreview extends UnverifiedJwt {
  /** `client_assertion_type` (RFC 7521 section 4.2). */
  readonly type: string
}

/** As long as a token manager takes for a token. */
const DEADLINE_MS = 10_000
/** Stands for a token endpoint that only the server's metadata tells; no server has this name (RFC 6761 section 6.4). */
const UNKNOWN_ENDPOINT = 'https://token-endpoint.invalid/'

/**
 * Makes the client assertion that a client would send, and reads it. Nothing is sent to the authorization server; what that would tell in
 * its metadata is not known.
 *
 * @throws ConfigurationError with code `client_unknown`, `client_assertion_missing`, `client_assertion_invalid` or whatever the client's
 * authentication throws.
 */
export async function previewAssertion(
  options: TokenManagerOptions<ClientDefinitions>,
  clientName: string,
  signal: AbortSignal,
): Promise<AssertionPreview> {
  const definition = Object.hasOwn(options.clients, clientName) ? options.clients[clientName] : undefined
  if (definition === undefined) {
    const names = Object.keys(options.clients).join(', ')
    throw new ConfigurationError(`expected a client out of ${names}, got "${clientName}"`, { code: 'client_unknown' })
  }
  const client = identityOf(clientName, definition)
  const draft = { url: client.tokenEndpoint, body: new URLSearchParams(), headers: new Headers() }
  const { clock = systemClock, deadlineMs: ms = DEADLINE_MS } = options
  const late = (): Error =>
    new TransportError(`client "${clientName}": expected its client assertion within ${ms} ms, got none`, {
      code: 'timeout',
      retryable: true,
    })
  const make = (stop: AbortSignal): Promise<string> =>
    authenticate({ options, definition, client, draft, signal: AbortSignal.any([stop, signal]) })
  const method = await guarded(clientName, () => withDeadline(make, { clock, ms, error: late }))
  const [type, value] = ['client_assertion_type', 'client_assertion'].map((name) => draft.body.get(name))
  if (!type || !value) {
    throw missing(`client "${clientName}": expected an authentication that sends a client assertion, got ${method}`)
  }
  const jwt = readUnverifiedJwt(value)
  if (jwt === undefined)
    throw missing(`client "${clientName}": expected its client assertion to be a JWT, got another kind`)
  if ([jwt.claims.aud].flat().includes(UNKNOWN_ENDPOINT)) {
    throw missing(`client "${clientName}": expected a tokenEndpoint, which its assertion is addressed to, got none`)
  }
  return { type, header: jwt.header, claims: jwt.claims }
}

function identityOf(clientName: string, { clientId, issuer, tokenEndpoint }: ClientDefinition): ClientIdentity {
  return { clientName, clientId, issuer, tokenEndpoint: new URL(tokenEndpoint ?? UNKNOWN_ENDPOINT) }
}

interface Attempt {
  readonly options: TokenManagerOptions<ClientDefinitions>
  readonly definition: ClientDefinition
  readonly client: ClientIdentity
  readonly draft: TokenEndpointDraft
  readonly signal: AbortSignal
}

/** The central service first, then the client's own way, as for a token request. Gives the method. */
async function authenticate({ options, definition, client, draft, signal }: Attempt): Promise<string> {
  const { clientAssertion: service, clock } = options
  const made = await service?.({ ...client, request: {}, signal })
  const chosen: ClientAuthentication = made == null ? definition.authentication : clientAssertion(made)
  await chosen.apply(draft, client, { signal, clock })
  return chosen.method
}

async function guarded<T>(clientName: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (isEvertokenError(cause)) throw cause
    throw new ConfigurationError(`client "${clientName}": expected its client authentication to work, got an error`, {
      code: 'client_authentication_failed',
      cause,
    })
  }
}

function missing(message: string): ConfigurationError {
  return new ConfigurationError(message, { code: 'client_assertion_missing' })
}
