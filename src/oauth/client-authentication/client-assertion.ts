import { type ClientAssertion, ConfigurationError } from '../../token/index.ts'
import { type Awaitable, describe } from '../../util/index.ts'
import type {
  ClientAuthentication,
  ClientAuthenticationOptions,
  ClientIdentity,
  TokenEndpointDraft,
} from './client-authentication.ts'

/** `client_assertion_type` of a JWT (RFC 7523 section 2.2). */
export const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** For whom an assertion is made: the client, its authorization server, and how the attempt is bounded. */
export interface AssertionContext extends ClientIdentity, ClientAuthenticationOptions {}

/**
 * Gives assertions that were made elsewhere (RFC 7521 section 4.2), one for each call. It fits `clientAssertion()`, the central
 * `clientAssertion` service, and a call of one's own, without context.
 */
export type AssertionSource = (context?: Partial<AssertionContext>) => Promise<ClientAssertion>

/**
 * Authenticates with an assertion that was made elsewhere (RFC 7521 section 4.2). A function is asked for every attempt, and
 * told who the client is and to whom it authenticates.
 *
 * @throws ConfigurationError with code `client_assertion_invalid` when it is not a type and a value.
 */
export function clientAssertion(
  assertion: ClientAssertion | ((context: AssertionContext) => Awaitable<ClientAssertion>),
): ClientAuthentication {
  if (typeof assertion !== 'function') assertClientAssertion(assertion)
  return {
    method: 'client_assertion',
    async apply({ body }, client, { signal, clock } = {}) {
      const made = typeof assertion === 'function' ? await assertion({ ...client, signal, clock }) : assertion
      addAssertion(body, client.clientId, made)
    },
  }
}

/** Puts an assertion into a request (RFC 7521 section 4.2). */
export function addAssertion(body: TokenEndpointDraft['body'], clientId: string, assertion: ClientAssertion): void {
  assertClientAssertion(assertion)
  body.set('client_id', clientId)
  body.set('client_assertion_type', assertion.type)
  body.set('client_assertion', assertion.value)
}

/** Refuses what is not a client assertion, without repeating it. */
export function assertClientAssertion(assertion: unknown): asserts assertion is ClientAssertion {
  const { type, value } = Object(assertion) as Record<string, unknown>
  const problem =
    typeof type !== 'string' || type === ''
      ? `type to be a non-empty string, got ${describe(type)}`
      : typeof value !== 'string' || value === ''
        ? `value to be a non-empty string, got ${describe(value)}`
        : undefined
  if (problem === undefined) return
  throw new ConfigurationError(`client assertion: expected ${problem}`, { code: 'client_assertion_invalid' })
}
