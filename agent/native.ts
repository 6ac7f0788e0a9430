/** Calls into the system's C library. Sizes and layouts are the caller's business. */
export interface NativeLibrary {
  /** @param signature As C writes it; pointers are given as buffers. */
  func(signature: string): (...values: (number | Buffer)[]) => number;
  /** Of the last call that failed. */
  errno(): number;
}

/** Where numbers of system calls and layouts of structures are as they are used here. */
const ARCHITECTURES = ['x64', 'arm64'];

/** Rejects where there is none: on other systems, and for an agent that came as one file, without packages. */
export async function loadNativeLibrary(): Promise<NativeLibrary> {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) {
    throw new Error('there are no native calls for this system');
  }
  const { default: koffi } = await import('koffi');
  // This very process, which has the C library loaded.
  const library = koffi.load(null);
  return {
    func(signature) {
      const call = library.func(signature);
      return (...values) => Number(call(...values));
    },
    errno: () => koffi.errno(),
  };
}
