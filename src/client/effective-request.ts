import { assertClientAssertion, assertParameters, assertResource, assertScope } from '../oauth/index.ts'
import type { ClientAssertion, TokenRequest } from '../token/index.ts'
import { canonicalRecord, canonicalSet, canonicalText, describe } from '../util/index.ts'
import { assertOptions, optionInvalid } from './check.ts'
import type { ClientDefinition } from './client-definition.ts'
import type { StoreEntry } from './store-entries.ts'

const OPTIONS: readonly (keyof TokenRequest)[] = [
  'scope',
  'resource',
  'parameters',
  'clientAssertion',
  'context',
  'partition',
]

/** A request with the client's own values where it names none. */
export interface EffectiveRequest {
  readonly scope: string | undefined
  readonly resource: readonly string[]
  readonly parameters: Readonly<Record<string, string>>
  readonly partition: string | undefined
  readonly clientAssertion: ClientAssertion | undefined
  /** The request as the caller made it, for services and customisers. */
  readonly original: TokenRequest
}

/**
 * Fills a request up from the client's definition.
 *
 * @throws ConfigurationError for unknown options, reserved parameters, malformed scopes and resources.
 */
export function effectiveRequest(
  clientName: string,
  definition: ClientDefinition,
  request: TokenRequest = {},
): EffectiveRequest {
  const subject = `client "${clientName}", request`
  const { scope, resource, parameters, partition, clientAssertion } = Object(request) as TokenRequest
  assertOptions(subject, request, OPTIONS)
  assertScope(subject, scope)
  assertResource(subject, resource)
  assertParameters(subject, parameters)
  if (partition !== undefined && typeof partition !== 'string') {
    throw optionInvalid(subject, `partition to be a string, got ${describe(partition)}`)
  }
  if (clientAssertion !== undefined) assertClientAssertion(clientAssertion)
  return {
    scope: (scope ?? definition.scope) || undefined,
    resource: listOf(resource ?? definition.resource),
    parameters: { ...definition.parameters, ...parameters },
    partition,
    clientAssertion,
    // A copy, as all of this: what the caller changes later must not be sent under this name.
    original: Object.freeze({ ...request }),
  }
}

function listOf(resource: string | readonly string[] | undefined): readonly string[] {
  return resource === undefined ? [] : typeof resource === 'string' ? [resource] : [...resource]
}

/** Canonical text of all that shapes the token on the wire, and of the caller's partition; equal inputs have one text. */
export function shapeOf({ scope, resource, parameters, partition }: EffectiveRequest): string {
  const sent = canonicalRecord(parameters).filter(([, value]) => value !== '')
  return canonicalText([canonicalSet(scope?.split(' ') ?? []), canonicalSet(resource), sent, partition ?? null])
}

/** What a shape was made of. */
export function partsOf(shape: string): Pick<StoreEntry, 'scope' | 'resource' | 'partition'> {
  const [scope, resource, , partition] = JSON.parse(shape) as [string[], string[], unknown, string | null]
  return { scope, resource, partition: partition ?? undefined }
}
