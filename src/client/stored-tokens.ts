import { parseStoredToken } from '../source/index.ts'
import type { TokenStore } from '../store/index.ts'
import { type AccessToken, TransportError } from '../token/index.ts'
import { type Clock, withDeadline } from '../util/index.ts'
import type { ClientDefinition } from './client-definition.ts'
import type { ClientDPoP } from './client-dpop.ts'
import { storeKey } from './effective-request.ts'
import type { News } from './forget-together.ts'

/** The tokens of one client in the shared store. */
export interface StoredTokens {
  readonly store: TokenStore
  readonly news: News | undefined
  readonly definition: ClientDefinition
  readonly dpop: ClientDPoP | undefined
  readonly clock: Clock
  /** How long the client's key may take to get. */
  readonly deadlineMs: number
}

/** Which token is deleted. */
export interface Deletion {
  readonly shape: string
  /** What the memory of this process had. */
  readonly held: AccessToken | undefined
  readonly onFound?: ((token: AccessToken) => void) | undefined
}

/**
 * Deletes a token from the store, whichever key it is bound to. `onFound` is told of what was there; without it nothing is read.
 *
 * @throws TransportError with code `timeout`, or what the client's key function throws, where no key is known yet; what is known is deleted
 * before that.
 */
export async function deleteStored(
  { store, news, definition, dpop, clock, deadlineMs }: StoredTokens,
  { shape, held, onFound }: Deletion,
): Promise<void> {
  const done = new Set<string | undefined>()
  async function deleteOf(jkt: string | undefined): Promise<void> {
    if (done.has(jkt)) return
    done.add(jkt)
    const name = await storeKey(definition, shape, jkt)
    const token = onFound && parseStoredToken(await store.get(name), clock.now())
    await store.delete(name)
    news?.tell(name)
    if (token !== undefined) onFound?.(token)
  }

  if (dpop === undefined) return deleteOf(undefined)
  if (held?.jkt !== undefined) await deleteOf(held.jkt)
  for (const jkt of dpop.keys.thumbprints()) await deleteOf(jkt)
  try {
    const error = (): Error =>
      new TransportError(`expected the key of a client within ${deadlineMs} ms, got none`, {
        code: 'timeout',
        retryable: true,
      })
    // Other processes may have bound their tokens to a key that this one has yet to hear of.
    const { jkt } = await withDeadline(() => dpop.keys.current(), { clock, ms: deadlineMs, error })
    await deleteOf(jkt)
  } catch (error) {
    // Somebody who says "forget" is not to hear of a key that was not needed to do so.
    if (done.size === 0) throw error
  }
}
