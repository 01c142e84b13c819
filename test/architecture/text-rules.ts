import type { Place, SourceFile } from './source-file.ts'

interface TextRule {
  readonly find: (file: SourceFile) => readonly Place[]
  readonly fault: (place: Place) => string
}

const MAX_LINES = 300
const CLOCK = 'util/clock.ts'
const BROKEN_DIGEST = /md5|sha-?1(?!\d)/i

const isIndex = (file: SourceFile): boolean => file.path === 'index.ts' || file.path.endsWith('/index.ts')

const RULES: readonly TextRule[] = [
  {
    find: (file) => (isIndex(file) ? file.otherStatements : []),
    fault: () => 'holds a statement that is no export from another file; an index.ts holds nothing else',
  },
  { find: (file) => file.exportStars, fault: ({ text }) => `re-exports everything of "${text}"; name the exports` },
  { find: (file) => file.defaultExports, fault: () => 'has a default export; name it' },
  {
    find: (file) =>
      file.path === CLOCK
        ? []
        : file.members.filter(({ text }) => /^(Date\.now|performance\.now|new Date\(\))$/.test(text)),
    fault: ({ text }) => `reads the time with ${text}; only ${CLOCK} does`,
  },
  {
    find: (file) => file.members.filter(({ text }) => text === 'Math.random'),
    fault: () => 'draws from Math.random; randomness comes from crypto',
  },
  {
    find: (file) => file.identifiers.filter(({ text }) => text === 'console'),
    fault: () => 'uses the console; what happens is told through telemetry',
  },
  {
    find: (file) => [...file.strings, ...file.identifiers].filter(({ text }) => BROKEN_DIGEST.test(text)),
    fault: ({ text }) => `names a broken digest: "${text}"`,
  },
  {
    find: (file) => file.comments.filter(({ text }) => /^\/\s*<reference\b/.test(text)),
    fault: () => 'holds a reference directive; tsconfig says what is in scope',
  },
]

const WORK_LEFT = /\b(TODO|FIXME)\b/

/** What is wrong with the text of one file of the package, one line a fault. */
export function textFaults(file: SourceFile): readonly string[] {
  const found = RULES.flatMap(({ find, fault }) =>
    find(file).map((place) => `src/${file.path}:${place.line} ${fault(place)}`),
  )
  return [...found, ...sizeAndWorkFaults(file)]
}

/** The rules that unit tests obey as well. */
export function sizeAndWorkFaults(file: SourceFile): readonly string[] {
  const size =
    file.lineCount > MAX_LINES
      ? [`src/${file.path} has ${file.lineCount} lines; ${MAX_LINES} are enough for one idea`]
      : []
  const work = file.comments
    .filter(({ text }) => WORK_LEFT.test(text))
    .map(({ line }) => `src/${file.path}:${line} leaves work in a comment; an issue is the place for it`)
  return [...size, ...work]
}
