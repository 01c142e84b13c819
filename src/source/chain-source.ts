import { ConfigurationError, type TokenSource } from '../token/index.ts'

/**
 * Asks sources in order until one gives a token. An abort ends the search.
 *
 * `getToken` throws what the last source threw.
 *
 * @throws ConfigurationError with code `option_invalid` when there is no source at all.
 */
export function chainSource(...sources: readonly TokenSource[]): TokenSource {
  if (sources.length === 0) {
    throw new ConfigurationError('chainSource: expected at least one source, got none', { code: 'option_invalid' })
  }
  return {
    async getToken(options) {
      let last: unknown
      for (const source of sources) {
        try {
          return await source.getToken(options)
        } catch (error) {
          if (options?.signal?.aborted) throw options.signal.reason
          last = error
        }
      }
      throw last
    },
  }
}
