import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'

/**
 * Refuses what is no store, where it is handed in.
 *
 * @throws ConfigurationError with code `option_invalid`.
 */
export function assertStore(subject: string, store: unknown): void {
  for (const method of ['get', 'set', 'delete']) {
    if (typeof Object(store)[method] === 'function') continue
    throw new ConfigurationError(`${subject}: expected store to have a method "${method}", got ${describe(store)}`, {
      code: 'option_invalid',
    })
  }
}
