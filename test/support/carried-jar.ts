import type { SessionTokens, TokenSet } from 'evertoken/session'

/** A browser's cookie jar: requests take a copy, and each answer puts its own in the jar, whenever it comes. */
export interface Jar {
  set: TokenSet | undefined
  /** One request: begins with what is in the jar now, and writes back what was saved when it ends. */
  request(): SessionTokens & { respond(): void; readonly saves: number }
}

export function createJar(id: string): Jar {
  const jar: Jar = {
    set: undefined,
    request() {
      let carried = jar.set
      let saves = 0
      return {
        id,
        kind: 'carried',
        load: () => carried,
        save(set) {
          carried = set
          saves++
          return true
        },
        clear() {
          carried = undefined
          saves++
        },
        respond() {
          if (saves > 0) jar.set = carried
        },
        get saves() {
          return saves
        },
      }
    },
  }
  return jar
}
