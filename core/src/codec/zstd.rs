//! Zstandard with static contexts: its state lies in our own charged memory, and it never calls
//! malloc (zstd.h, "Advanced memory management").

#![expect(unsafe_code, reason = "the C library is called with raw pointers")]

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

use zstd_sys::{
    ZSTD_CCtx, ZSTD_CCtx_setParameter, ZSTD_DCtx, ZSTD_cParameter, ZSTD_compress2,
    ZSTD_compressBound, ZSTD_compressionParameters, ZSTD_decompressDCtx,
    ZSTD_estimateCCtxSize_usingCParams, ZSTD_estimateDCtxSize, ZSTD_getCParams,
    ZSTD_initStaticCCtx, ZSTD_initStaticDCtx, ZSTD_isError,
};

use crate::memory::{Area, Consumer};
use crate::{Error, Result};

pub(super) struct Compressor {
    context: NonNull<ZSTD_CCtx>,
    /// Holds the context; its address does not change when this struct moves.
    _workspace: Area,
}

// SAFETY: the context is used only through &mut self and lives in memory this struct owns.
unsafe impl Send for Compressor {}

impl Compressor {
    pub(super) fn try_new(consumer: &Consumer, level: i32, source_max: usize) -> Result<Self> {
        let parameters = parameters(level, source_max)?;
        let mut workspace = Area::try_new(consumer, workspace_bytes(parameters))?;
        // SAFETY: the workspace is page-aligned, exclusively ours and outlives the context.
        let context = unsafe {
            ZSTD_initStaticCCtx(workspace.as_mut_ptr().cast::<c_void>(), workspace.len())
        };
        let Some(context) = NonNull::new(context) else {
            return Err(Error::internal("Zstandard refused a workspace of the size it asked for"));
        };
        let mut compressor = Self { context, _workspace: workspace };
        compressor.configure(level, parameters)?;
        Ok(compressor)
    }

    pub(super) fn bytes_for(level: i32, source_max: usize) -> Result<u64> {
        Ok(Area::len_for(workspace_bytes(parameters(level, source_max)?)) as u64)
    }

    pub(super) fn compress(&mut self, source: &[u8], target: &mut [u8]) -> Option<usize> {
        // SAFETY: both pointers come with their slices' lengths, and the context is ours.
        let outcome = unsafe {
            ZSTD_compress2(
                self.context.as_ptr(),
                target.as_mut_ptr().cast(),
                target.len(),
                source.as_ptr().cast(),
                source.len(),
            )
        };
        checked(outcome)
    }

    /// Fixes the parameters the workspace was sized for, so that no frame asks for more.
    fn configure(&mut self, level: i32, parameters: ZSTD_compressionParameters) -> Result<()> {
        use ZSTD_cParameter as P;
        let settings = [
            (P::ZSTD_c_compressionLevel, i64::from(level)),
            (P::ZSTD_c_windowLog, i64::from(parameters.windowLog)),
            (P::ZSTD_c_hashLog, i64::from(parameters.hashLog)),
            (P::ZSTD_c_chainLog, i64::from(parameters.chainLog)),
            (P::ZSTD_c_searchLog, i64::from(parameters.searchLog)),
            (P::ZSTD_c_minMatch, i64::from(parameters.minMatch)),
            (P::ZSTD_c_targetLength, i64::from(parameters.targetLength)),
            (P::ZSTD_c_strategy, parameters.strategy as i64),
        ];
        for (parameter, value) in settings {
            let value = i32::try_from(value).unwrap_or(0);
            // SAFETY: the context is ours and initialised.
            let outcome =
                unsafe { ZSTD_CCtx_setParameter(self.context.as_ptr(), parameter, value) };
            if checked(outcome).is_none() {
                return Err(Error::internal("Zstandard refused one of its own parameters"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zstd")
    }
}

pub(super) struct Decompressor {
    context: NonNull<ZSTD_DCtx>,
    /// Holds the context; its address does not change when this struct moves.
    _workspace: Area,
}

// SAFETY: the context is used only through &mut self and lives in memory this struct owns.
unsafe impl Send for Decompressor {}

impl Decompressor {
    pub(super) fn try_new(consumer: &Consumer) -> Result<Self> {
        let mut workspace = Area::try_new(consumer, context_bytes())?;
        // SAFETY: the workspace is page-aligned, exclusively ours and outlives the context.
        let context = unsafe {
            ZSTD_initStaticDCtx(workspace.as_mut_ptr().cast::<c_void>(), workspace.len())
        };
        match NonNull::new(context) {
            Some(context) => Ok(Self { context, _workspace: workspace }),
            None => Err(Error::internal("Zstandard refused a workspace of the size it asked for")),
        }
    }

    pub(super) fn bytes() -> u64 {
        Area::len_for(context_bytes()) as u64
    }

    pub(super) fn decompress(&mut self, source: &[u8], target: &mut [u8]) -> Option<usize> {
        // SAFETY: both pointers come with their slices' lengths, and the context is ours.
        let outcome = unsafe {
            ZSTD_decompressDCtx(
                self.context.as_ptr(),
                target.as_mut_ptr().cast(),
                target.len(),
                source.as_ptr().cast(),
                source.len(),
            )
        };
        checked(outcome)
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zstd")
    }
}

pub(super) fn compressed_bytes_max(len: usize) -> usize {
    // SAFETY: a pure function of a number.
    unsafe { ZSTD_compressBound(len) }
}

fn parameters(level: i32, source_max: usize) -> Result<ZSTD_compressionParameters> {
    if !(1..=22).contains(&level) {
        return Err(Error::invalid("the Zstandard level is out of range; use 1 to 22")
            .with_detail(level.to_string()));
    }
    // SAFETY: a pure function of numbers.
    Ok(unsafe { ZSTD_getCParams(level, source_max.max(1) as u64, 0) })
}

fn workspace_bytes(parameters: ZSTD_compressionParameters) -> usize {
    // SAFETY: a pure function of numbers.
    unsafe { ZSTD_estimateCCtxSize_usingCParams(parameters) }
}

fn context_bytes() -> usize {
    // SAFETY: a pure function.
    unsafe { ZSTD_estimateDCtxSize() }
}

fn checked(outcome: usize) -> Option<usize> {
    // SAFETY: a pure function of a number.
    let failed = unsafe { ZSTD_isError(outcome) } != 0;
    (!failed).then_some(outcome)
}
