-- The modules in lua/ as they end up in one library: each file is the body of a function whose result later files see.
std = "lua51"
max_line_length = 110
globals = {}
read_globals = {
  "redis", "cjson", "cmsgpack", "struct", "bit",
  "VERSION",
}

-- Modules see the earlier ones by name. Read from the manifest, so that there is one list.
local manifest = assert(io.open("lua/manifest"))
for line in manifest:lines() do
  local pattern = line:gsub("#.*", ""):gsub("%s", "")
  if pattern ~= "" then
    local files = assert(io.popen("cd lua && ls " .. pattern))
    for module in files:lines() do
      read_globals[#read_globals + 1] = module:gsub("/", "_"):gsub("%.lua$", "")
    end
    files:close()
  end
end
manifest:close()
